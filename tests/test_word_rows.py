"""Tables with one word a row become sentences; tables of texts stay as they are."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.readers import read_rows
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.inputs import read_examples_file
from lowcost_ft.tasks.loading import load_splits

KAGGLE = """Sentence #,Word,POS,Tag
Sentence: 1,Anna,NNP,B-per
,left,VBD,O
,\"\"\"\",``,O
Sentence: 2,London,NNP,B-geo
,calls,VBZ,O
"""
NUMBERED = "sentence_id,word,tag\n1,Anna,B-per\n1,left,O\n2,London,B-geo\n2,calls,O\n"
UNNAMED = ",sent_id,Token,NER\n0,1,Anna,B-per\n1,1,left,O\n2,2,London,B-geo\n3,2,calls,O\n"
BLANK_LINES = "word,tag\nAnna,B-per\nleft,O\n\nLondon,B-geo\ncalls,O\n"
EMPTY_ROWS = "word,pos,tag\nAnna,N,B-per\nleft,V,O\n,,\nLondon,N,B-geo\ncalls,V,O\n"
BARE = "sentence_id,word,tag\n1,Anna,per\n1,left,O\n2,London,geo\n2,calls,O\n"


def read(
    path: Path, content: str, **flags: Any
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    path.write_text(content)
    problems: list[str] = []
    notices: list[str] = []
    rows = read_rows(str(path), problems, notices, words=True, **flags)
    return [row.values for row in rows], problems, notices


@pytest.mark.parametrize(
    "content", [KAGGLE, NUMBERED, UNNAMED, BLANK_LINES, EMPTY_ROWS, BARE], ids=str.split
)
def test_sentences_of_csv(tmp_path: Path, content: str) -> None:
    rows, problems, notices = read(tmp_path / "a.csv", content)
    assert problems == []
    assert [row["tokens"][:2] for row in rows] == [["Anna", "left"], ["London", "calls"]]
    assert [row["tags"][0].removeprefix("B-") for row in rows] == ["per", "geo"]
    assert "one word a row, read as 2 sentences" in notices[-1]


def test_sentences_of_other_tables(tmp_path: Path) -> None:
    table = {"sentence_id": [1, 1, 2], "word": ["a", "b", "c"], "tag": ["O", "B-x", "O"]}
    lines = [dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)]
    expected = [{"tokens": ["a", "b"], "tags": ["O", "B-x"]}, {"tokens": ["c"], "tags": ["O"]}]
    for name, content in (
        ("a.jsonl", "\n".join(map(json.dumps, lines))),
        ("a.json", json.dumps(lines)),
        ("b.json", json.dumps({key: dict(enumerate(cells)) for key, cells in table.items()})),
        ("a.tsv", "sentence_id\tword\ttag\n1\ta\tO\n1\tb\tB-x\n2\tc\tO\n"),
    ):
        assert read(tmp_path / name, content)[0] == expected
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    rows = read_rows(f"{tmp_path}/a.parquet", [], [], words=True)
    assert [row.values for row in rows] == expected


def test_a_wrong_tag_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(NUMBERED + "3,a,O\n\n3,b,X-per\n")
    with pytest.raises(UserError) as caught:
        load_splits("ner", train_file=str(path))
    assert str(caught.value).startswith(f'{path}:8: tag is "X-per"')


def test_without_the_end_of_a_sentence_there_is_none(tmp_path: Path) -> None:
    rows, problems, _ = read(tmp_path / "a.csv", "word,tag\nAnna,B-per\nleft,O\n")
    assert rows == []
    assert len(problems) == 1
    assert "nothing tells where a sentence ends; add a column sentence_id" in problems[0]


def test_chosen_columns_and_files_without_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    content = NUMBERED.replace("word", "wort").replace("tag", "etikett")
    reading = ReadingOptions(tokens_column="wort", tags_column="etikett")
    rows, problems, _ = read(path, content, reading=reading)
    assert problems == []
    assert rows[1] == {"wort": ["London", "calls"], "etikett": ["B-geo", "O"]}
    examples = read_examples_file("ner", str(path), usual=reading, labelled=False)
    assert [example.words for example in examples] == [("Anna", "left"), ("London", "calls")]
    path.write_text("sentence_id,word\n1,Anna\n1,left\n2,London\n")
    examples = read_examples_file("ner", str(path), labelled=False)
    assert [example.words for example in examples] == [("Anna", "left"), ("London",)]


@pytest.mark.parametrize(
    "content",
    [
        "text,word,label,sentence_id\nAnna left,Anna,B-per,1\n",
        "sentence,word\nAnna left,Anna\nLondon calls,calls\n",
        "word,tag\nAnna,name\nleft,verb\n\nLondon,name\n",
    ],
)
def test_other_tables_stay_as_they_are(tmp_path: Path, content: str) -> None:
    rows, problems, notices = read(tmp_path / "a.csv", content, labelled=False)
    assert (problems, notices) == ([], [])
    assert list(rows[0]) == content.split("\n")[0].split(",")


def test_words_are_texts_to_a_classifier(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "word,tag\n" + "".join(f"w{i},{'OB'[i % 2]}{'-x' * (i % 2)}\n" for i in range(30))
    )
    reading = ReadingOptions(text_column="word", label_column="tag")
    splits = load_splits("classification", train_file=str(path), reading=reading)
    assert splits.labels == ["B-x", "O"]


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        ("tokens,tags\nAnna left,B-per O\nLondon,B-geo\n", {}),
        ('text,labels\nAnna left,"B-per,O"\nLondon,B-geo\n', {}),
        (
            'sentence,word_labels\nAnna left,"B-per,O"\nLondon,B-geo\n',
            {"tags_column": "word_labels"},
        ),
    ],
)
def test_cells_with_all_words_and_all_tags_are_sentences(
    tmp_path: Path, content: str, flags: dict[str, str]
) -> None:
    tags = flags.get("tags_column", "tags")
    rows, problems, notices = read(tmp_path / "a.csv", content, reading=ReadingOptions(**flags))
    assert problems == []
    assert [(row["tokens"], row[tags]) for row in rows] == [
        (["Anna", "left"], ["B-per", "O"]),
        (["London"], ["B-geo"]),
    ]
    assert any("one sentence a row" in notice for notice in notices)


def test_a_cell_with_other_numbers_of_words_and_tags_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("tokens,tags\nAnna left,B-per O O\nLondon,B-geo\n")
    with pytest.raises(UserError, match=r"a\.csv:2: 2 tokens but 3 tags"):
        load_splits("ner", train_file=str(tmp_path / "a.csv"))
