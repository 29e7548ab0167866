"""Counts of true against predicted classes and entity types."""

from small_runs import text_rows

from lowcost_ft.scores.confusion import class_confusion, entity_confusion
from lowcost_ft.scores.metrics import score_classes, score_entities


def test_classes():
    true = ["a", "a", "b", "c"]
    assert class_confusion(["a", "b", "b", "a"], true) == {
        "a": {"a": 1, "b": 1},
        "b": {"b": 1},
        "c": {"a": 1},
    }
    assert class_confusion([], []) == {}


def test_entities_count_by_their_exact_words():
    true = [["B-per", "I-per", "O", "B-loc"], ["O", "B-org"]]
    predicted = [["B-per", "O", "O", "B-org"], ["B-loc", "B-org"]]
    assert entity_confusion(predicted, true) == {
        "O": {"loc": 1, "per": 1},  # invented: one on a word without, one with wrong bounds
        "loc": {"org": 1},
        "org": {"org": 1},
        "per": {"O": 1},  # missed: only its first word was found
    }


def test_scores_carry_the_counts_and_agree_with_them():
    rows = [row["label"] for row in text_rows(30)]
    predicted = rows[1:] + rows[:1]
    scores = score_classes(predicted, rows, sorted(set(rows)))
    right = sum(row.get(true, 0) for true, row in scores["confusion"].items())
    assert right / 30 == scores["accuracy"]
    assert sum(sum(row.values()) for row in scores["confusion"].values()) == 30
    tags = [["B-per", "I-per", "O"]]
    assert score_entities(tags, tags)["confusion"] == {"per": {"per": 1}}
    multi = score_classes([["a"]], [["a", "b"]], ["a", "b"], multi_label=True)
    assert "confusion" not in multi  # which label was taken for which cannot be told
