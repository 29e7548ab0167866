"""Folders of brat's: spans, relations, spans in parts, and broken lines."""

from pathlib import Path
from typing import Any

import pytest
from export_files import read

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.readers import read_rows
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.convert import convert_file
from lowcost_ft.tasks.inputs import read_examples_file
from lowcost_ft.tasks.loading import load_splits

TEXT = "Jane Smith visits\nBerlin"
LINES = [
    "T1\tPER 0 10\tJane Smith",
    "T2\tLOC 18 24\tBerlin",
    "R1\tVisits Arg1:T1 Arg2:T2\t",
    "A1\tSure T1",
    "#1\tAnnotatorNotes T1\tcheck",
]


def folder(place: Path, *lines: str, text: str = TEXT, name: str = "doc") -> str:
    place.mkdir(exist_ok=True)
    (place / f"{name}.txt").write_bytes(text.encode())
    (place / f"{name}.ann").write_bytes("\n".join(lines).encode())
    return str(place)


def test_a_folder_is_one_row_a_text(tmp_path: Path) -> None:
    path = folder(tmp_path / "corpus", *LINES)
    (tmp_path / "corpus" / "deep").mkdir()
    folder(tmp_path / "corpus" / "deep", text="It rains")
    (tmp_path / "corpus" / "new.txt").write_text("Not yet")
    rows, problems, notices = read(path)
    assert problems == []
    assert rows == [
        {"id": "deep/doc", "text": "It rains", "entities": [], "relations": []},
        {
            "id": "doc",
            "text": TEXT,
            "entities": [
                {"id": "T1", "start": 0, "end": 10, "label": "PER", "text": "Jane Smith"},
                {"id": "T2", "start": 18, "end": 24, "label": "LOC", "text": "Berlin"},
            ],
            "relations": [{"head": "T1", "tail": "T2", "label": "Visits"}],
        },
    ]
    told = "\n".join(notices)
    assert "read as a folder of brat's" in told and "1 attribute, 1 note" in told
    assert "1 text without a file of annotations (.ann) left out" in told
    rows, _, _ = read(path, labelled=False)
    assert [row["text"] for row in rows] == ["It rains", TEXT, "Not yet"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\ufeff", "\ufeff\n"])
def test_annotations_of_blank_lines_alone_are_none(tmp_path: Path, end: str) -> None:
    path = folder(tmp_path / "c", *LINES)
    folder(tmp_path / "c", end, name="none")
    rows, problems, _ = read(path)
    assert problems == []
    assert [len(row["entities"]) for row in rows] == [2, 0]


def test_a_span_over_a_line_end_is_one_span(tmp_path: Path) -> None:
    rows, problems, _ = read(folder(tmp_path / "c", "T1\tX 11 17;18 24\tvisits Berlin"))
    assert problems == [] and rows[0]["entities"][0]["end"] == 24


@pytest.mark.parametrize(
    ("how", "spans"),
    [
        ("join", [("T1", 0, 17), ("T2", 18, 24)]),
        ("split", [("T1", 0, 4), ("T1#2", 11, 17), ("T2", 18, 24)]),
        ("drop", [("T2", 18, 24)]),
    ],
)
def test_spans_in_parts_are_decided_about(
    tmp_path: Path, how: str, spans: list[tuple[str, int, int]]
) -> None:
    lines = ["T1\tX 0 4;11 17\tJane visits", LINES[1], LINES[2]]
    path = folder(tmp_path / "c", *lines)
    _, problems, _ = read(path)
    assert len(problems) == 1 and "doc.ann:1: the span T1 (0 4;11 17) lies in 2" in problems[0]
    rows, problems, notices = read(path, discontinuous=how)
    assert [(e["id"], e["start"], e["end"]) for e in rows[0]["entities"]] == spans
    assert len(rows[0]["relations"]) == (how != "drop")
    assert any(f"(--discontinuous {how}), first {path}/doc.ann:1" in n for n in notices)
    left_out = f"1 relation of a left-out span is left out, too, first {path}/doc.ann:3"
    assert any(left_out in n for n in notices) == (how == "drop")


@pytest.mark.parametrize("how", [None, "join", "split", "drop"])
def test_parts_are_compared_with_the_text_of_their_span(tmp_path: Path, how: str | None) -> None:
    text = "left and right ventricle"
    path = folder(tmp_path / "c", "T1\torg 1 5;16 23\tleft ventricle", text=text)
    _, problems, _ = read(path, discontinuous=how)
    assert len(problems) == (how != "drop")
    told = f'{path}/doc.ann:1: the span T1 (1 5;16 23) has the text "left ventricle", but its parts'
    for problem in problems:
        assert problem.startswith(f'{told} cut out "eft  entricl"') and "drop)" in problem
    right = "T1\torg 0 4;15 24\tleft  ventricle", "T2\torg 15 24;0 4\tventricle left"
    unnamed = "T3\torg 0 4;15 24"
    path = folder(tmp_path / "c", *right, unnamed, text=text)
    _, problems, _ = read(path, discontinuous=how)
    assert len(problems) == (3 if how is None else 0)


def test_a_text_without_content_is_told_where_no_labels_are_wanted(tmp_path: Path) -> None:
    path = folder(tmp_path / "c", *LINES)
    folder(tmp_path / "c", text="", name="empty")
    folder(tmp_path / "c", text=" \n", name="white")
    done = convert_file(path, str(tmp_path / "out.jsonl"), labelled=False)
    assert done.rows == 1
    assert any("2 rows without a text left out" in notice for notice in done.notices)
    examples = read_examples_file("ner", path, labelled=False)
    assert [(e.row_id, len(e.words)) for e in examples] == [("doc", 4), ("empty", 0), ("white", 0)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("T3\tX 0 99\tJane", "does not lie in its text of 24 characters"),
        ("T3\tX 4 4\t", "does not lie in its text"),
        ("T3\tX zero 4\tJane", "a span must be T1<TAB>Label 0 5<TAB>text"),
        ("T1\tX 0 4\tJane", "the span T1 occurs twice"),
        ("R2\tVisits Arg1:T1", "a relation must be"),
        ("R2\tVisits Arg1:T1 Arg2:T9", 'names "T9", which the file does not have'),
        ("what is this", "is no annotation of brat's"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = folder(tmp_path / "c", *LINES, line)
    _, problems, _ = read(path)
    assert len(problems) == 1
    assert problems[0].startswith(f"{path}/doc.ann:6: ") and told in problems[0]


def test_training_prediction_and_shifted_spans(tmp_path: Path) -> None:
    for number in range(20):
        folder(tmp_path / "c", *LINES, name=f"doc{number}", text=f"{TEXT} {number}")
    splits = load_splits("ner", train_file=str(tmp_path / "c"))
    assert splits.train[0].tags == ("B-PER", "I-PER", "O", "B-LOC", "O")
    examples = read_examples_file("ner", str(tmp_path / "c"), labelled=False)
    assert len(examples) == 20 and examples[0].row_id == "doc0"
    folder(tmp_path / "c", "T1\tPER 1 11\tJane Smith", name="shifted")
    with pytest.raises(UserError, match=r"c:shifted.txt: entity 1..11 .*--entity-offsets text"):
        load_splits("ner", train_file=str(tmp_path / "c"))
    reading = ReadingOptions(entity_offsets="text")
    assert load_splits("ner", train_file=str(tmp_path / "c"), reading=reading).train


def test_other_folders_are_refused_with_advice(tmp_path: Path) -> None:
    _, problems, _ = read(str(tmp_path))
    assert len(problems) == 1 and "a folder of brat's (.txt with .ann)" in problems[0]
    (tmp_path / "a.ann").write_text(LINES[0])
    _, problems, _ = read(str(tmp_path))
    assert len(problems) == 1 and "has no text beside it" in problems[0]


def test_relations_between_events_are_between_their_triggers(tmp_path: Path) -> None:
    lines = [*LINES[:2], "E1\tPER:T1", "R1\tAfter Arg1:E1 Arg2:T2"]
    rows, problems, _ = read(folder(tmp_path / "c", *lines))
    relation: dict[str, Any] = {"head": "T1", "tail": "T2", "label": "After"}
    assert problems == [] and rows[0]["relations"] == [relation]


def test_a_file_is_not_a_folder_of_brat(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nx,y\n", "utf-8")
    problems: list[str] = []
    assert not read_rows(str(tmp_path / "a.csv"), problems, [], ReadingOptions(format="brat"))
    assert "is a file, and brat's format is a folder" in problems[0]
