"""Several annotators: which labels are taken, and what is said about their agreement."""

from pathlib import Path
from typing import Any

import pytest
from export_files import choice, read, span, task, write

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.tasks.loading import load_splits

TEXT = "Jane Smith visits Berlin"
JANE, BERLIN = span(0, 10, "PER", TEXT), span(18, 24, "LOC", TEXT)


def labels(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["label"] for row in rows]


def test_annotators_who_differ_must_be_decided_about(tmp_path: Path) -> None:
    tasks = [task("a", [choice("x")], [choice("x")]), task("b", [choice("x")], [choice("y")])]
    rows, problems, _ = read(write(tmp_path, tasks))
    assert rows == [] and len(problems) == 1
    assert "2 rows labelled by several annotators; they differ in 1, first" in problems[0]
    assert 'Cohen\'s kappa of "label" 0.000' in problems[0]
    assert "--annotations" in problems[0]


def test_annotators_who_agree_need_no_decision(tmp_path: Path) -> None:
    tasks = [task("a", [choice("x")], [choice("x")]), task("b", [choice("y")], [choice("y")])]
    rows, problems, notices = read(write(tmp_path, tasks))
    assert labels(rows) == [["x"], ["y"]] and problems == []
    assert any('Cohen\'s kappa of "label" 1.000' in notice for notice in notices)


@pytest.mark.parametrize(
    ("how", "expected"),
    [("first", [["x"], ["y"], ["x"]]), ("agreed", [["x"]]), ("majority", [["x"], ["z"]])],
)
def test_classes_are_chosen_as_asked(tmp_path: Path, how: str, expected: list[Any]) -> None:
    tasks = [
        task("all", [choice("x")], [choice("x")], [choice("x")]),
        task("most", [choice("y")], [choice("z")], [choice("z")]),
        task("none", [choice("x")], [choice("y")], [choice("z")]),
    ]
    rows, problems, notices = read(write(tmp_path, tasks), annotations=how)
    assert labels(rows) == expected and problems == []
    assert any("Krippendorff's alpha" in notice for notice in notices)
    assert any("left out" in notice for notice in notices) == (how != "first")


def test_the_majority_is_taken_span_by_span_with_its_relations(tmp_path: Path) -> None:
    relation = {"type": "relation", "from_id": "r0", "to_id": "r18", "direction": "right"}
    relation |= {"labels": ["visits"]}
    other = BERLIN | {"id": "other"}
    results = [[JANE, BERLIN, relation], [JANE, other, relation | {"to_id": "other"}], [JANE]]
    rows, _, notices = read(write(tmp_path, [task(TEXT, *results)]), annotations="majority")
    assert [(e["id"], e["label"]) for e in rows[0]["entities"]] == [("T1", "PER"), ("T2", "LOC")]
    assert rows[0]["relations"] == [{"head": "T1", "tail": "T2", "label": "visits"}]
    assert any("entity F1 between annotators 0.800" in notice for notice in notices)


def test_several_classes_are_voted_on_one_by_one(tmp_path: Path) -> None:
    given = [[choice("a", "b")], [choice("b", "c")], [choice("c")]]
    rows, _, _ = read(write(tmp_path, [task(TEXT, *given)]), annotations="majority")
    assert labels(rows) == [["b", "c"]]


def test_the_ground_truth_of_the_tool_is_taken(tmp_path: Path) -> None:
    one = task(TEXT, [choice("x")], [choice("y")])
    one["annotations"][1]["ground_truth"] = True
    rows, problems, notices = read(write(tmp_path, [one]))
    assert labels(rows) == [["y"]] and problems == []
    assert any("ground truth is taken, first" in notice for notice in notices)


def test_several_ground_truths_that_agree_are_one(tmp_path: Path) -> None:
    one = task(TEXT, [choice("x")], [choice("y")], [choice("y")])
    for number in (1, 2):
        one["annotations"][number]["ground_truth"] = True
    rows, problems, _ = read(write(tmp_path, [one]))
    assert labels(rows) == [["y"]] and problems == []
    one["annotations"][0]["ground_truth"] = True
    assert "they differ in 1" in read(write(tmp_path, [one]))[1][0]


@pytest.mark.parametrize(("more", "told"), [([], "Cohen's kappa"), ([[choice("x")]], "alpha")])
def test_who_chose_nothing_is_not_compared(tmp_path: Path, more: list[Any], told: str) -> None:
    """Two agree wherever both chose; a class "nothing" would count as disagreement."""
    tasks = [
        task("a", [choice("x")], [choice("x")], *more),
        task("b", [choice("y")], [choice("y")]),
        task("c", [choice("y")], []),
        task("d", [], [choice("x")]),
    ]
    _, problems, _ = read(write(tmp_path, tasks))
    assert len(problems) == 1 and "they differ in 2" in problems[0]
    assert f'{told} of "label" 1.000' in problems[0]


@pytest.mark.parametrize("how", ["agreed", "majority"])
def test_a_file_in_which_nobody_agrees_is_not_said_to_be_empty(tmp_path: Path, how: str) -> None:
    tasks = [task("a", [choice("x")], [choice("y")])]
    rows, problems, _ = read(write(tmp_path, tasks), annotations=how)
    assert rows == [] and len(problems) == 1
    assert "no row is left, since" in problems[0] and "give another value" in problems[0]


def test_flags_that_a_file_has_no_use_for_are_told(tmp_path: Path) -> None:
    plain = write(tmp_path, [{"text": "a", "label": "x"}], "plain.jsonl")
    _, problems, notices = read(plain, annotations="majority", discontinuous="drop")
    assert problems == []
    assert any("--annotations majority changes nothing: it is for exports" in n for n in notices)
    assert any("--discontinuous drop changes nothing: it is for folders" in n for n in notices)
    words = write(tmp_path, [{"tokens": ["Ann"], "tags": ["B-x"]}], "words.jsonl")
    reading = ReadingOptions(entity_offsets="utf16")
    told = load_splits("ner", train_file=words, validation_share=0, reading=reading).notices
    assert any("--entity-offsets utf16 changes nothing" in notice for notice in told)


def test_annotators_who_differ_in_another_column_need_no_decision(tmp_path: Path) -> None:
    topic, mood = choice("x", control="topic"), [choice(n, control="mood") for n in "abc"]
    path = write(tmp_path, [task("one", [topic, mood[0]], [topic, mood[1]])])
    assert "they differ in 1" in read(path)[1][0]
    rows, problems, _ = read(path, label_column="topic")
    assert problems == [] and rows == [{"id": 7, "text": "one", "topic": ["x"]}]
    rows, problems, _ = read(path, label_column="mood", annotations="first")
    assert problems == [] and rows == [{"id": 7, "text": "one", "topic": ["x"], "mood": ["a"]}]
