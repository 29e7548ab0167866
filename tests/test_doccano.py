"""Exports of doccano in their variants, and spaCy's training data."""

from pathlib import Path
from typing import Any

import pytest
from export_files import read, write

TEXT = "Jane visits Berlin"
PLACES = [(0, 4, "PER"), (12, 18, "LOC")]


def spans(rows: list[dict[str, Any]]) -> list[tuple[int, int, str]]:
    return [(e["start"], e["end"], e["label"]) for e in rows[0]["entities"]]


@pytest.mark.parametrize(
    "row",
    [
        {"id": 1, "text": TEXT, "label": [[0, 4, "PER"], [12, 18, "LOC"]]},
        {"id": 1, "data": TEXT, "label": [[0, 4, "PER"], [12, 18, "LOC"]]},
        {"id": 1, "text": TEXT, "labels": [[0, 4, "PER"], [12, 18, "LOC"]], "Comments": []},
        {"text": TEXT, "entities": [[0, 4, "PER"], [12, 18, "LOC"]], "cats": ["travel"]},
        {
            "text": TEXT,
            "entities": [
                {"id": 5, "label": "PER", "start_offset": 0, "end_offset": 4},
                {"id": 6, "label": "LOC", "start_offset": 12, "end_offset": 18},
            ],
            "relations": [],
        },
        {
            "text": TEXT,
            "meta": {},
            "annotations": [
                {"label": "PER", "start_offset": 0, "end_offset": 4, "user": 1},
                {"label": "LOC", "start_offset": 12, "end_offset": 18, "user": 1},
            ],
        },
    ],
)
def test_spans_of_every_version_are_entities(tmp_path: Path, row: dict[str, Any]) -> None:
    rows, problems, notices = read(write(tmp_path, [row], "all.jsonl"))
    assert problems == [] and spans(rows) == PLACES and rows[0]["text"] == TEXT
    assert any("read as an export of doccano" in notice for notice in notices)
    assert rows[0].get("label") == row.get("cats")


def test_relations_keep_their_ids(tmp_path: Path) -> None:
    entities = [
        {"id": 5, "label": "PER", "start_offset": 0, "end_offset": 4},
        {"id": 6, "label": "LOC", "start_offset": 12, "end_offset": 18},
    ]
    relation = {"id": 9, "from_id": 5, "to_id": 6, "type": "visits"}
    row = {"id": 1, "text": TEXT, "entities": entities, "relations": [relation]}
    rows, _, _ = read(write(tmp_path, [row, row | {"relations": []}], "all.jsonl"))
    assert rows[0]["relations"] == [{"id": 9, "head": 5, "tail": 6, "label": "visits"}]
    assert rows[1]["relations"] == [] and rows[0]["entities"][0]["id"] == 5
    broken = row | {"relations": [relation | {"to_id": 7}]}
    _, problems, _ = read(write(tmp_path, [row, broken], "all.jsonl"))
    assert len(problems) == 1 and ":2: a relation names the span" in problems[0]


def test_a_text_without_spans_is_a_text_without_entities(tmp_path: Path) -> None:
    given = [{"text": TEXT, "label": [[0, 4, "PER"]]}, {"text": "It rains", "label": []}]
    rows, problems, _ = read(write(tmp_path, given, "all.jsonl"))
    assert rows[1]["entities"] == [] and problems == []


def test_users_of_the_first_versions_are_annotators(tmp_path: Path) -> None:
    given = [
        {"label": "PER", "start_offset": 0, "end_offset": 4, "user": 1},
        {"label": "LOC", "start_offset": 0, "end_offset": 4, "user": 2},
    ]
    _, problems, _ = read(write(tmp_path, [{"text": TEXT, "annotations": given}], "all.jsonl"))
    assert len(problems) == 1 and "entity F1 between annotators 0.000" in problems[0]


@pytest.mark.parametrize("span", [[0, 4], [0, "4", "PER"], [0, 4, ""], 7, {"start_offset": 0}])
def test_a_broken_span_is_named_by_its_line(tmp_path: Path, span: Any) -> None:
    entity = {"id": 5, "label": "PER", "start_offset": 0, "end_offset": 4}
    given = [{"text": TEXT, "entities": [entity]}, {"text": TEXT, "entities": [entity, span]}]
    path = write(tmp_path, given, "all.jsonl")
    rows, problems, _ = read(path)
    assert rows == [] and len(problems) == 1 and problems[0].startswith(f"{path}:2: the span")


def test_plain_classes_need_no_tool(tmp_path: Path) -> None:
    given = [{"id": 1, "text": TEXT, "label": ["travel"]}]
    rows, _, notices = read(write(tmp_path, given, "all.jsonl"))
    assert rows == given and notices == []


@pytest.mark.parametrize(
    "row",
    [
        [TEXT, {"entities": [[0, 4, "PER"], [12, 18, "LOC"]], "cats": {"a": 1, "b": 0}}],
        {
            "text": TEXT,
            "ents": [
                {"start": 0, "end": 4, "label": "PER"},
                {"start": 12, "end": 18, "label": "LOC"},
            ],
            "cats": {"a": 1.0, "b": 0.0},
            "tokens": [{"id": 0, "start": 0, "end": 4}],
        },
        {
            "id": 4,
            "paragraphs": [
                {
                    "raw": TEXT,
                    "sentences": [
                        {
                            "tokens": [
                                {"orth": "Jane", "ner": "U-PER"},
                                {"orth": "visits", "ner": "O"},
                                {"orth": "Berlin", "ner": "U-LOC"},
                            ]
                        }
                    ],
                    "cats": [{"label": "a", "value": 1}, {"label": "b", "value": 0}],
                }
            ],
        },
    ],
)
def test_the_json_forms_of_spacy_are_read(tmp_path: Path, row: Any) -> None:
    rows, problems, notices = read(write(tmp_path, [row], "train.jsonl"))
    assert problems == [] and spans(rows) == PLACES and rows[0]["label"] == ["a"]
    assert any("read as training data in spaCy's form" in notice for notice in notices)


def test_scores_of_a_model_are_no_labels(tmp_path: Path) -> None:
    row = [TEXT, {"cats": {"a": 0.7, "b": 0.3}}]
    _, problems, _ = read(write(tmp_path, [row], "train.jsonl"))
    assert len(problems) == 1 and "scores are a model's" in problems[0]
