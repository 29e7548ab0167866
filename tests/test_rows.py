"""Columns are found by their usual names, whatever their case and what stands around them."""

from pathlib import Path
from typing import Any

import pytest

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.cells import unpacked
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.inputs import read_examples_file
from lowcost_ft.tasks.loading import load_splits

SPANS = '{"Text": "Anna ran", "Entities": [{"start": 0, "end": 4, "label": "per"}]}\n'


def table(header: str) -> str:
    cells = header.count(",") - 1
    return f"{header}\n" + "".join(f"text {i},{'ab'[i % 2]}{',' * cells}\n" for i in range(30))


@pytest.mark.parametrize(
    "header",
    [
        "Text,Sentiment",
        "TEXT,LABEL",
        "_text_,label_",
        "Tweet,CLASS",
        '"\ufeffText",Label',
        "Text,Label,,",
    ],
)
def test_names_in_another_spelling(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table(header))
    splits = load_splits("classification", train_file=str(path))
    assert splits.labels == ["a", "b"]
    assert splits.train[0].text.startswith("text ")
    assert sum(" read as text (--text-column overrides)" in line for line in splits.notices) == 1


def test_the_usual_spelling_comes_first_and_two_others_are_not_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"x,y{i},{'ab'[i % 2]}\n" for i in range(30))
    path.write_text("Text,sentence,label\n" + rows)
    splits = load_splits("classification", train_file=str(path))
    assert splits.train[0].text.startswith("y")
    path.write_text("Text,TEXT,label\n" + rows)
    with pytest.raises(UserError, match="no column for the text"):
        load_splits("classification", train_file=str(path))


def test_a_given_name_in_another_case(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table("Body,Kind"))
    reading = ReadingOptions(text_column="body", label_column="kind")
    splits = load_splits("classification", train_file=str(path), reading=reading)
    assert f'{path}: column "Kind" read for --label-column kind' in splits.notices
    examples = read_examples_file("classification", str(path), usual=reading, labelled=False)
    assert examples[0].text == "text 0"


def test_pairs_spans_and_words_in_another_case(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "Premise,Hypothesis,Label\n" + "".join(f"a{i},b,{'xy'[i % 2]}\n" for i in range(30))
    )
    splits = load_splits("classification", train_file=str(path))
    assert (splits.train[0].text_pair is None) is False
    path = tmp_path / "a.jsonl"
    path.write_text("".join(SPANS.replace("ran", f"ran{i}") for i in range(20)))
    assert load_splits("ner", train_file=str(path)).labels == ["O", "B-per", "I-per"]
    tokens = '{"Tokens": ["Anna", "ran%d"], "NER_tags": ["B-per", "O"]}\n'
    path.write_text("".join(tokens % i for i in range(20)))
    assert load_splits("ner", train_file=str(path)).labels == ["O", "B-per", "I-per"]
    # A count of words in another case does not hide the text.
    path.write_text('{"text": "Anna ran", "Words": 2}\n')
    assert read_examples_file("ner", str(path), labelled=False)[0].words == ("Anna", "ran")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("['a' 'b c'\n 'd']", ["a", "b c", "d"]),  # NumPy; Python would take it for one text.
        ("[0 1 2]", [0, 1, 2]),
        ("{'x': array(['\"a', 'b'], dtype=object), 'y': array([3])}", {"x": ['"a', "b"], "y": [3]}),
        ("[open('x')]", "[open('x')]"),
        ("[sic] 'a' 'b'", "[sic] 'a' 'b'"),
    ],
)
def test_cells_hold_what_python_json_and_numpy_print(cell: str, value: Any) -> None:
    assert unpacked(cell) == value


@pytest.mark.parametrize(
    "header_and_cells",
    [
        ("text,entities", "Ann ran", "[{'start': 0, 'end': 3, 'label': 'x'}]"),
        ("text,label", "Ann ran", "[[0, 3, 'x']]"),
        ("tokens,ner_tags", "['Ann' 'ran']", "['B-x' 'O']"),
    ],
)
def test_entities_and_tags_in_the_cells_of_a_table(tmp_path: Path, header_and_cells) -> None:
    header, *cells = header_and_cells
    line = ",".join(f'"{cell}"' for cell in cells)
    (tmp_path / "a.csv").write_text(f"{header}\n{line}\n")
    splits = load_splits("ner", train_file=str(tmp_path / "a.csv"), validation_share=0)
    assert splits.train[0].words == ("Ann", "ran") and splits.train[0].tags == ("B-x", "O")


def test_columns_of_a_table_without_a_header_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{'ab'[i % 2]},text {i}\n" for i in range(30))
    reading = ReadingOptions(text_column="2", label_column="1")
    for header, first in (("", "text 0"), ("kind,body\n", "text 0"), ("label,text\n", "text 0")):
        path.write_text(header + rows)
        splits = load_splits("classification", train_file=str(path), reading=reading)
        assert splits.labels == ["a", "b"]
        read = [*splits.train, *splits.validation]
        assert len(read) == 30
        assert first in [example.text for example in read]
        said = f"{path}: read as a table without a header; its first line is a row"
        assert (said in splits.notices) == (header == "")
    path.write_text("x,hello\ny,there\n")
    examples = read_examples_file("classification", str(path), usual=reading, labelled=False)
    assert [example.text for example in examples] == ["hello", "there"]
    path.write_text(rows)
    with pytest.raises(
        UserError, match=r'no column "3" \(--label-column\); the columns are "1", "2"'
    ):
        load_splits(
            "classification",
            train_file=str(path),
            reading=ReadingOptions(text_column="2", label_column="3"),
        )


def test_words_of_a_table_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("".join(f"{i},Anna{i},B-per\n{i},ran,O\n\n" for i in range(20)))
    reading = ReadingOptions(tokens_column="2", tags_column="3")
    splits = load_splits("ner", train_file=str(path), reading=reading)
    assert splits.labels == ["O", "B-per", "I-per"]
    assert len(splits.train[0].words) == 2
