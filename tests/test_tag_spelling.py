"""Tags in other spellings, and types whose names are odd: they stay what they are."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.summary import score_lines
from lowcost_ft.scores.metrics import score_entities
from lowcost_ft.tasks.loading import load_splits
from lowcost_ft.tasks.ner.tag_spelling import find_spelling
from lowcost_ft.tasks.ner.tagging import strict_spans, tags_to_spans, to_iob2

ODD = ["O", "B", "I", "-", "B-X", "A-", "A", "-A", "a", "a b", "x.y", "x/y", "\t", "|", "🚀", "é\n"]


def read(folder: Path, tags: list[Any], **reading: Any) -> Any:
    words = [f"w{i}" for i in range(len(tags))]
    rows = [{"tokens": [*words, str(i)], "tags": [*tags, tags[-1]]} for i in range(20)]
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return load_splits("ner", train_file=str(path), reading=ReadingOptions(**reading))


@pytest.mark.parametrize(
    ("tags", "expected", "told"),
    [
        ("B_PER I_PER O", "B-PER I-PER O", '"B_PER" are read as "B-PER"'),
        ("b-per i-per o", "B-per I-per O", '"b-per" are read as "B-per"'),
        ("PER PER O LOC O", "B-PER I-PER O B-LOC O", "without prefixes"),
        ("B I O B O", "B-entity I-entity O B-entity O", "prefixes but no types"),
        ("B-x M-x E-x S-x O", "B-x I-x I-x B-x O", "the tags are BMES"),
        ("B-x M-x M-x E-x W-x O", "B-x I-x I-x I-x B-x O", "the tags are BMEWO"),
    ],
)
def test_tags_in_other_spellings(tmp_path: Path, tags: str, expected: str, told: str) -> None:
    splits = read(tmp_path, tags.split())
    assert splits.train[0].tags[:-1] == tuple(expected.split())
    assert any(told in notice for notice in splits.notices)


def test_numbers_need_names_and_are_read_by_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--label-names O,B-person"):
        read(tmp_path, [1, 2, 0])
    splits = read(tmp_path, [1, 2, 0], label_names="O,B-PER,I-PER")
    assert splits.train[0].tags[:3] == ("B-PER", "I-PER", "O")
    with pytest.raises(UserError, match=r"names for 0 to 2 only"):
        read(tmp_path, [1, 3, 0], label_names="O,B-PER,I-PER")


@pytest.mark.parametrize("tags", ["PER-B PER-I O", "NN VB DT", "PER B-PER O", "B- O"])
def test_tags_that_may_be_anything_are_refused(tmp_path: Path, tags: str) -> None:
    with pytest.raises(UserError, match="neither O nor PREFIX-TYPE"):
        read(tmp_path, tags.split())


@given(st.lists(st.lists(st.text(max_size=4) | st.integers() | st.none() | st.floats())))
def test_no_tags_crash(sentences: list[list[Any]]) -> None:
    found = find_spelling(sentences, file="a", names=[], problems=[], notices=[])
    for tags in sentences:
        read_tags, fault = found.read(tags)
        assert fault is not None or len(read_tags) == len(tags)


def test_odd_types_are_themselves_and_no_others() -> None:
    true = [[f"B-{label}", "O"] for label in ODD]
    scores = score_entities(true, true)
    assert scores["f1"] == 1
    assert set(scores["per_entity"]) == set(ODD)
    assert scores["confusion"] == {label: {label: 1} for label in ODD}
    assert all(line.isprintable() for line in score_lines("test", scores))
    others = score_entities(true[1:] + true[:1], true)
    assert others["f1"] == 0
    assert others["confusion"] == {
        label: {other: 1} for label, other in zip(ODD, ODD[1:] + ODD[:1], strict=True)
    }


def test_missed_entities_of_a_type_called_o_are_not_its_own() -> None:
    scores = score_entities([["B-O", "O"]], [["O", "B-O"]])
    assert scores["confusion"] == {"": {"O": 1}, "O": {"": 1}}


@given(st.lists(st.one_of(st.none(), st.text(min_size=1, max_size=3)), max_size=8))
def test_any_type_survives_tags_and_spans(types: list[str | None]) -> None:
    tags = ["O" if name is None else f"B-{name}" for name in types]
    expected = [(i, i + 1, name) for i, name in enumerate(types) if name is not None]
    assert tags_to_spans(to_iob2(tags, "IOB2")[0]) == expected == strict_spans(tags)


sentence = st.lists(st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"]), min_size=1, max_size=8)


@given(st.lists(st.tuples(sentence, st.randoms()), min_size=1, max_size=4))
def test_scores_are_those_of_strict_seqeval(cases: list[tuple[list[str], Any]]) -> None:
    true = [tags for tags, _ in cases]
    found = [draw.choices(["O", "B-x", "I-x", "B-y", "I-y"], k=len(t)) for t, draw in cases]
    found = [t if draw.random() < 0.5 else f for (t, draw), f in zip(cases, found, strict=True)]
    expected = precision_recall_fscore_support(
        true, found, average="micro", scheme=IOB2, zero_division=0
    )
    scores = score_entities(found, true)
    assert [scores[name] for name in ("precision", "recall", "f1")] == list(expected[:3])
