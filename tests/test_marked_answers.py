"""Questions whose answers an annotator marked in their text."""

import json
from pathlib import Path
from typing import Any

import pytest
from export_files import span, task, write

from lowcost_ft.commands.main import main
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.convert import convert_file
from lowcost_ft.tasks.loading import load_splits

TEXT = "Anna lives in Oslo. David lives in Nairobi, and Maria in Oslo too."
NAIROBI = span(34, 42, "Answer", TEXT)  # With the blank before it.


def asked(question: str, results: list[Any], field: str = "text") -> dict[str, Any]:
    data = {"data": {"title": "People", "question": question, field: TEXT}}
    return task(TEXT, results) | data


@pytest.mark.parametrize("field", ["text", "passage", "context"])
def test_a_marked_span_is_the_answer(tmp_path: Path, field: str) -> None:
    oslo = [span(start, start + 4, "Answer", TEXT) for start in (14, 57)]
    tasks = [
        asked("Where does David live?", [NAIROBI], field),
        asked("Who lives in Rome?", [], field),
        asked("Where does Maria live?", oslo, field),
    ]
    path = write(tmp_path, tasks)
    convert_file(path, str(tmp_path / "rows.jsonl"))
    for file in (path, str(tmp_path / "rows.jsonl")):
        splits = load_splits("question_answering", train_file=file, validation_share=0)
        assert [[(a.start, a.text) for a in e.answers] for e in splits.train] == [
            [(35, "Nairobi")],
            [],
            [(14, "Oslo"), (57, "Oslo")],
        ]
        assert {e.context for e in splits.train} == {TEXT} and splits.train[0].title == "People"
        told = '3 spans labelled "Answer" read as the answers to the questions of its rows'
        assert any(told in notice for notice in splits.notices)


def test_the_doctor_takes_marked_answers_for_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, [asked("Where does David live?", [NAIROBI])] * 2)
    assert main(["doctor", path, "--no-model"]) == 0
    assert "read as question answering" in capsys.readouterr().err


def test_squad_files_are_converted_with_their_answers(tmp_path: Path) -> None:
    oslo = [{"text": "Oslo", "answer_start": start} for start in (57, 14, 57)]
    asked = [
        {"id": "a", "question": "Where does Maria live?", "answers": oslo, "is_impossible": False},
        {"id": "b", "question": "Who lives in Rome?", "answers": [], "is_impossible": True},
    ]
    paragraphs = [{"context": TEXT, "qas": asked}]
    path = write(tmp_path, {"data": [{"title": "People", "paragraphs": paragraphs}]})
    for name, answers in (("rows.jsonl", (57, 14, 57)), ("tasks.json", (57, 14))):
        done = convert_file(path, str(tmp_path / name))
        assert done.rows == 2
        splits = load_splits(
            "question_answering", train_file=str(tmp_path / name), validation_share=0
        )
        first, second = splits.train
        assert [a.start for a in first.answers] == list(answers) and second.answers == ()
        assert (first.question, first.context) == ("Where does Maria live?", TEXT)
        assert (first.title, first.row_id, second.row_id) == ("People", "a", "b")
    with pytest.raises(UserError, match="has questions, which columns of words cannot hold"):
        convert_file(path, str(tmp_path / "words.conll"))
    convert_file(path, str(tmp_path / "new.json"), labelled=False)
    first, second = json.loads((tmp_path / "new.json").read_text("utf-8"))
    assert first["data"]["text"] == TEXT and second["data"]["question"] == "Who lives in Rome?"
    assert first["annotations"] == []


def test_spans_with_several_labels_are_no_answers(tmp_path: Path) -> None:
    tasks = [asked("Where does David live?", [NAIROBI, span(0, 4, "PER", TEXT)])]
    with pytest.raises(UserError, match=r'several labels \("Answer", "PER"\)'):
        load_splits("question_answering", train_file=write(tmp_path, tasks))


def test_spans_without_a_question_ask_for_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column for the question"):
        load_splits("question_answering", train_file=write(tmp_path, [task(TEXT, [NAIROBI])]))
