"""Scores of relations: equal to SemEval's official scorer, and counted by hand."""

import json
import os
from pathlib import Path

import pytest

from lowcost_ft.scores.relations import macro_scores, relation_of, score_relations

DATA = Path(
    os.environ.get("LOWCOST_FT_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)
SEMEVAL = DATA / "semeval2010_task8"

# gold, answer; the figures were counted by hand.
PAIRS = [
    ("A-B(e1,e2)", "A-B(e1,e2)"),
    ("A-B(e2,e1)", "A-B(e1,e2)"),  # The wrong direction.
    ("A-B(e2,e1)", "Other"),
    ("C-D(e1,e2)", "C-D(e1,e2)"),
    ("C-D(e1,e2)", "A-B(e2,e1)"),
    ("Other", "C-D(e2,e1)"),
    ("Other", "Other"),
]
GOLD, ANSWERS = ([pair[side] for pair in PAIRS] for side in (0, 1))


def test_a_wrong_direction_is_a_mistake_in_both_precision_and_recall():
    scores = score_relations(ANSWERS, GOLD, negative="Other")
    # A-B: 1 of 3 answers, 1 of 3 true; C-D: 1 of 2 answers, 1 of 2 true.
    assert scores["per_class"]["A-B"]["precision"] == pytest.approx(1 / 3)
    assert scores["per_class"]["A-B"]["support"] == 3
    assert scores["macro_f1"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert scores["micro_f1"] == pytest.approx(2 * 2 / (5 + 5))
    assert scores["accuracy"] == pytest.approx(3 / 7)
    assert set(scores["per_class"]) == {"A-B", "C-D"}
    assert scores["confusion"]["Other"] == {"C-D(e2,e1)": 1, "Other": 1}


def test_each_direction_can_be_an_entry_of_its_own():
    precision, recall, f1 = macro_scores(ANSWERS, GOLD, negative="Other", directed=False)
    # A-B(e1,e2): 1 of 2, 1 of 1; A-B(e2,e1): 0 of 1, 0 of 2; C-D(e1,e2): 1 of 1, 1 of 2.
    assert precision == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert recall == pytest.approx((1 + 0 + 1 / 2) / 3)
    assert f1 == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)


def test_relations_that_the_references_lack_have_no_part_in_the_mean():
    assert macro_scores(["a", "b"], ["a", "a"], negative=None)[2] == pytest.approx(2 / 3)


def test_every_score_has_an_interval_around_it():
    scores = score_relations(ANSWERS * 20, GOLD * 20, negative="Other", seed=1)
    for name in ("micro_f1", "macro_f1"):
        low, high = scores[f"{name}_ci95"]
        assert low < scores[name] < high
    for row in scores["per_class"].values():
        assert row["f1_ci95"][0] < row["f1"] < row["f1_ci95"][1]
    assert scores == score_relations(ANSWERS * 20, GOLD * 20, negative="Other", seed=1)


@pytest.mark.parametrize("gold", [[], ["Other"]])
def test_nothing_to_find_is_no_error(gold):
    scores = score_relations(gold, gold, negative="Other")
    assert (scores["micro_f1"], scores["macro_f1"]) == (0.0, 0.0)
    assert scores["per_class"] == {}


def test_names_without_a_direction_are_relations():
    assert relation_of("Cause-Effect(e2,e1)") == "Cause-Effect"
    assert relation_of("works for (since)") == "works for (since)"
    scores = score_relations(["x", "no"], ["x", "y"], negative="no")
    assert scores["macro_f1"] == 0.5
    assert scores["micro_f1"] == pytest.approx(2 / 3)


@pytest.mark.skipif(not SEMEVAL.exists(), reason="needs SemEval-2010 task 8 (LOWCOST_FT_DATA)")
def test_macro_f1_is_that_of_the_official_scorer_to_the_last_digit():
    cases = SEMEVAL / "scorer_cases"
    rows = [json.loads(line) for line in (SEMEVAL / "test.jsonl").open()]
    gold = [row["label"] for row in rows]
    expected = json.loads((cases / "expected.json").read_text())["cases"]
    assert len(expected) > 5
    for name, figures in expected.items():
        lines = (cases / f"{name}.txt").read_text().splitlines()
        answer = dict(line.split("\t") for line in lines)
        answers = [answer[str(row["id"])] for row in rows]
        bare = [[relation_of(label) for label in labels] for labels in (answers, gold)]
        found = [
            macro_scores(answers, gold, negative="Other", directed=False),
            macro_scores(*bare, negative="Other"),
            macro_scores(answers, gold, negative="Other"),
        ]
        assert [[f"{100 * x:.2f}" for x in one] for one in found] == figures["macro_all"], name
        assert round(100 * found[2][2], 2) == figures["official_macro_f1"]
