"""A table in one JSON object, as pandas writes it."""

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from lowcost_ft.data.readers import read_rows
from lowcost_ft.tasks.loading import load_splits

FRAME = pandas.DataFrame({"text": ["it is good", "it is bad"], "label": ["pos", "neg"]})


def read(path: Path, content: str) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    path.write_text(content)
    problems: list[str] = []
    notices: list[str] = []
    rows = read_rows(str(path), problems, notices)
    return [row.values for row in rows], problems, notices


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("orient", ["columns", "index", "split", "records", "table"])
def test_what_pandas_writes_is_read(
    tmp_path: Path, name: str, orient: Any, indent: int | None
) -> None:
    rows, problems, notices = read(tmp_path / name, FRAME.to_json(orient=orient, indent=indent))
    assert problems == []
    assert [(row["text"], row["label"]) for row in rows] == list(
        FRAME.itertuples(index=False, name=None)
    )
    told = [f'read as one table of 2 rows, as pandas writes it with orient="{orient}"']
    assert [line.split(": ", 1)[1] for line in notices if "table of" in line] == (
        [] if orient == "records" else told
    )


def test_a_list_a_column_is_read_and_one_row_of_words_is_not_taken_for_it(tmp_path: Path) -> None:
    rows, problems, notices = read(tmp_path / "a.json", json.dumps(FRAME.to_dict("list")))
    assert problems == []
    assert rows == FRAME.to_dict("records")
    assert notices[0].endswith(
        'read as one table of 2 rows, as pandas writes it with orient="list"'
    )
    one = {"tokens": ["in", "Oslo"], "tags": ["O", "B-place"]}
    assert read(tmp_path / "b.json", json.dumps(one))[0] == [one]


@pytest.mark.parametrize("name", ["data", "rows"])
def test_a_list_of_rows_under_one_name_is_read(tmp_path: Path, name: str) -> None:
    content = json.dumps({name: FRAME.to_dict("records")})
    rows, problems, notices = read(tmp_path / "a.json", content)
    assert (rows, problems) == (FRAME.to_dict("records"), [])
    assert notices[0].endswith(f'read as the 2 rows under "{name}"')


def test_the_default_of_pandas_trains(tmp_path: Path) -> None:
    frame = pandas.concat([FRAME] * 15, ignore_index=True)
    frame["text"] += frame.index.astype(str)
    frame.to_json(tmp_path / "a.json")
    splits = load_splits("classification", train_file=f"{tmp_path}/a.json")
    assert len(splits.train) + len(splits.validation) == 30
    assert splits.labels == ["neg", "pos"]


def test_numbers_inside_and_outside_are_refused(tmp_path: Path) -> None:
    frame = pandas.DataFrame([["a", "x"], ["b", "y"]])
    rows, problems, _ = read(tmp_path / "a.json", frame.to_json())
    assert rows == []
    assert "columns and rows cannot be told apart; write the table with" in problems[0]


@pytest.mark.parametrize(
    "value",
    [
        {"text": {"0": "a", "1": "b"}, "label": {"0": "x"}},  # a row without a label
        {"text": {"a": "b"}, "label": {"a": "c"}},
        {"columns": ["text", "label"], "data": [["a"]]},
        {"columns": ["text", "text"], "data": [["a", "b"]]},
        {"text": "a", "label": {"0": "x"}},
    ],
)
def test_other_objects_are_rows_as_before(tmp_path: Path, value: dict[str, Any]) -> None:
    rows, problems, notices = read(tmp_path / "a.jsonl", json.dumps(value))
    assert (rows, problems, notices) == ([value], [], [])
