"""The short exports of Label Studio: JSON-MIN, and the table of the same rows."""

import json
from pathlib import Path
from typing import Any

import pytest
from export_files import read, write

TEXT = "Jane Smith visits Berlin"

SHORT: dict[str, Any] = {
    "text": TEXT,
    "id": 3,
    "label": [{"start": 0, "end": 10, "text": "Jane Smith", "labels": ["PER"]}],
    "topic": {"choices": ["a", "b"]},
    "annotator": 1,
    "annotation_id": 2,
    "created_at": "2026-01-01",
    "updated_at": "2026-01-01",
    "lead_time": 3.5,
}


def test_the_format_of_another_tool_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, [SHORT])
    for given in ("doccano", "spacy", "gliner", "prodigy"):
        rows, problems, _ = read(path, format=given)
        assert rows == [] and len(problems) == 1
        assert "JSON-MIN" in problems[0] and "give --format label_studio" in problems[0]
    assert read(path, format="label_studio")[1] == []


def test_the_short_form_is_read(tmp_path: Path) -> None:
    rows, problems, notices = read(write(tmp_path, [SHORT]))
    assert problems == []
    assert rows == [
        {
            "id": 3,
            "text": TEXT,
            "entities": [{"start": 0, "end": 10, "label": "PER", "text": "Jane Smith", "id": "T1"}],
            "topic": ["a", "b"],
        }
    ]
    assert any("JSON-MIN" in notice for notice in notices)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([1], 'the span 0..10 has the label "1", which is not text'),
        ([], "the span 0..10 has no label"),
        (None, "the span 0..10 has no label"),
    ],
)
def test_labels_of_a_span_must_be_text(tmp_path: Path, labels: Any, told: str) -> None:
    path = write(tmp_path, [SHORT, SHORT | {"label": [SHORT["label"][0] | {"labels": labels}]}])
    _, problems, _ = read(path)
    assert len(problems) == 1 and problems[0].startswith(f"{path}:row 2: {told}")


def test_an_annotator_who_left_a_control_empty_differs_in_whatever_order(tmp_path: Path) -> None:
    about = {"annotation_id": 2, "lead_time": 3.5}
    chosen = {"id": 3, "text": TEXT, "topic": "a", "annotator": 1} | about
    empty = {"id": 3, "text": TEXT, "annotator": 2} | about
    for rows in ([chosen, empty], [empty, chosen]):
        _, problems, _ = read(write(tmp_path, rows))
        assert len(problems) == 1 and "they differ in 1" in problems[0]


@pytest.mark.parametrize("kind", ["rating", "number"])
def test_numbers_of_the_short_form_are_numbers(tmp_path: Path, kind: str) -> None:
    rows, problems, _ = read(write(tmp_path, [SHORT | {"stars": [{kind: 4.5}]}]))
    assert problems == [] and rows[0]["stars"] == 4.5


def test_the_table_holds_spans_as_json(tmp_path: Path) -> None:
    cells = {
        name: json.dumps(v) if isinstance(v, list | dict) else str(v) for name, v in SHORT.items()
    }
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells.values()]
    path = tmp_path / "export.csv"
    path.write_text(",".join(cells) + "\n" + ",".join(quoted) + "\n")
    rows, problems, _ = read(str(path))
    assert problems == [] and rows[0]["entities"][0]["label"] == "PER"
    assert rows[0]["topic"] == ["a", "b"]


def test_annotators_of_the_short_form_are_put_together(tmp_path: Path) -> None:
    one = SHORT | {"topic": "a"}
    path = write(tmp_path, [one, one | {"annotator": 2, "topic": "b"}, SHORT | {"id": 4}])
    _, problems, _ = read(path)
    assert len(problems) == 1 and "labelled by several annotators" in problems[0]
    rows, _, notices = read(path, annotations="first")
    assert [(row["id"], row["topic"]) for row in rows] == [(3, ["a"]), (4, ["a", "b"])]
    assert any("entity F1 between annotators 1.000" in notice for notice in notices)


def test_rows_of_the_short_form_with_one_id_and_two_texts_are_two_inputs(tmp_path: Path) -> None:
    """Exports of two projects in one file count their tasks alike."""
    one = SHORT | {"topic": "a"}
    other = one | {"text": "Ann flies home", "label": []}
    path = write(tmp_path, [one, other, one | {"annotator": 2}])
    rows, problems, notices = read(path)
    assert problems == []
    assert [(row["id"], row["text"]) for row in rows] == [(3, TEXT), (3, "Ann flies home")]
    told = f"{path}: 1 row with the id of another row and another text read as inputs of their own"
    assert any(
        notice.startswith(f"{told}, first {path}:row 2 (the id of {path}:row 1)")
        for notice in notices
    )
    assert any("1 row labelled by several annotators; they differ in 0" in n for n in notices)


def test_what_may_be_the_text_of_the_short_form_must_be_named(tmp_path: Path) -> None:
    first, second = (
        {"id": 3, "document": TEXT, "comment": c, "topic": "a", "annotator": 1}
        | {"annotation_id": 2, "lead_time": 3.5}
        for c in ("sure", "unsure")
    )
    path = write(tmp_path, [first, second])
    assert "labelled by several annotators" in read(path)[1][0]
    path = write(tmp_path, [first, second | {"document": "Ann flies home"}], "two.jsonl")
    rows, problems, _ = read(path, annotations="first")
    assert rows == [] and len(problems) == 1
    told = f'{path}:2: has the id "3" of {path}:1, and another "document"; name the column'
    assert problems[0].startswith(told) and "--text-column" in problems[0]
    rows, problems, _ = read(path, text_column="document")
    assert problems == [] and [row["document"] for row in rows] == [TEXT, "Ann flies home"]
