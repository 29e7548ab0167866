"""A file is what it holds, whatever it is called; --format overrides."""

import gzip
import io
import pickle
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

COLUMNS = 'Anna\tB-PER\nran\tO\n\n"\tO\nRome\tB-LOC\n'
BLANKS = COLUMNS.replace("\t", " ")
BMES = "南 B-GPE\n京 E-GPE\n市 M-GPE\n人 O\n\n北 S-GPE\n"
BARE = "Anna\tPER\nran\tO\nto\tO\n\nthe\tO\nsea\tO\nRome\tLOC\n"
FASTTEXT = "__label__pos __label__long I liked it, all of it\n__label__neg no\n"
TEXTS = "where is my parcel\nI want a refund\n質量很好\nthanks\nno, the other one please\n"
TABLE = "text,label\nit is good,pos\nit is bad,neg\n"
SEMEVAL = (
    '1\t"An <e1>author</e1> uses a <e2>tool</e2>, or two."\nOther\nComment: None, is it?\n\n'
    "2\tThe <e1>lid</e1> of the <e2>box</e2>.\nComponent-Whole(e1,e2)\nComment:\n"
)
JSON_LINES = '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'
JSON_LIST = '[{"text": "a", "label": "x"},\n {"text": "b", "label": "y"}]'


def read(
    folder: Path, name: str, content: str | bytes, **flags: Any
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    problems: list[str] = []
    notices: list[str] = []
    rows = read_rows(str(path), problems, notices, **flags)
    short = [[text.replace(f"{folder}/", "") for text in texts] for texts in (problems, notices)]
    return [row.values for row in rows], *short


@pytest.mark.parametrize(
    "name",
    [
        *("a.tsv", "a.csv", "a.train", "a.testa", "a.testb", "a.dev", "a.col", "a.data", "train"),
        *("a.conll", "a.txt", "a.bio", "a.json", "a.jsonl"),
    ],
)
@pytest.mark.parametrize("content", [COLUMNS, BLANKS, BMES, BARE])
def test_columns_are_columns_whatever_the_file_is_called(
    tmp_path: Path, name: str, content: str
) -> None:
    rows, problems, notices = read(tmp_path, name, content)
    assert problems == []
    first, second = content.rstrip().split("\n\n")
    assert [len(row["tokens"]) for row in rows] == [
        part.count("\n") + 1 for part in (first, second)
    ]
    told = f"{name}: read as columns with one word a line, by its content (--format overrides)"
    assert notices == ([] if name in ("a.conll", "a.txt", "a.bio") else [told])


@pytest.mark.parametrize("name", ["a.txt", "a.train", "a.tsv", "a.csv", "a.conll", "a", "a.json"])
def test_fasttext_lines(tmp_path: Path, name: str) -> None:
    rows, problems, notices = read(tmp_path, name, FASTTEXT)
    assert problems == []
    assert rows == [
        {"text": "I liked it, all of it", "label": ["pos", "long"]},
        {"text": "no", "label": ["neg"]},
    ]
    assert len(notices) == 1
    assert notices[0].startswith(f"{name}: read as fastText lines")


@pytest.mark.parametrize("name", ["TRAIN_FILE.TXT", "a", "a.conll"])
def test_semeval_as_its_organisers_wrote_it(tmp_path: Path, name: str) -> None:
    rows, problems, notices = read(tmp_path, name, SEMEVAL.replace("\n", "\r\n"))
    assert problems == []
    assert [(row["id"], row["label"], row["comment"]) for row in rows] == [
        (1, "Other", "None, is it?"),
        (2, "Component-Whole(e1,e2)", ""),
    ]
    assert rows[0]["text"] == "An <e1>author</e1> uses a <e2>tool</e2>, or two."
    assert "read as numbered sentences with <e1> and <e2>" in notices[0]
    sentences = "".join(line + "\n" for line in SEMEVAL.splitlines() if "\t" in line)
    rows, problems, _ = read(tmp_path, name, sentences, labelled=False)
    assert problems == [] and [set(row) for row in rows] == [{"id", "text"}] * 2


def test_lines_that_semeval_does_not_have_are_told(tmp_path: Path) -> None:
    _, problems, _ = read(tmp_path, "a.txt", SEMEVAL + "Other\n3\tno marks\nOther\n")
    assert [problem.split(": ")[0] for problem in problems] == ["a.txt:8", "a.txt:9", "a.txt:10"]


def test_fasttext_labels_may_stand_behind_and_may_be_missing(tmp_path: Path) -> None:
    content = "__label__a , it\n\nis __label__b\nnothing\n__label__a its __label__x is __label__a\n"
    rows, _, _ = read(tmp_path, "a.txt", content)
    assert rows == [
        {"text": "it", "label": ["a"]},
        {"text": "is", "label": ["b"]},
        {"text": "nothing", "label": None},
        {"text": "its __label__x is", "label": ["a"]},
    ]
    path = tmp_path / "b.txt"
    path.write_text("".join(f"__label__{'ab'[i % 2]} __label__c t{i}\n" for i in range(30)))
    splits = load_splits("classification", train_file=str(path))
    assert splits.problem_type == "multi_label_classification"
    assert splits.labels == ["a", "b", "c"]
    path.write_text("".join(f"__label__{'ab'[i % 2]} t{i}\n" for i in range(30)) + "t\n")
    with pytest.raises(UserError, match=r'b\.txt:31: "label" is missing'):
        load_splits("classification", train_file=str(path))


@pytest.mark.parametrize(
    ("name", "content", "taken"),
    [
        ("a.txt", TABLE, "CSV"),
        ("a", TABLE, "CSV"),
        ("a.data", TABLE.replace(",", "\t"), "TSV"),
        ("a.dev", JSON_LINES, "JSON, an object a line"),
        ("a.txt", JSON_LINES, "JSON, an object a line"),
        ("a.csv", JSON_LINES, "JSON, an object a line"),
        ("a", JSON_LIST, "JSON"),
        ("a.tsv", JSON_LIST, "JSON"),
    ],
)
def test_tables_are_tables_whatever_the_file_is_called(
    tmp_path: Path, name: str, content: str, taken: str
) -> None:
    rows, problems, notices = read(tmp_path, name, content)
    assert problems == []
    assert [set(row) for row in rows] == [{"text", "label"}] * 2
    assert notices == [f"{name}: read as {taken}, by its content (--format overrides)"]


def test_parquet_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "label": ["x"]}), file)
    rows, problems, notices = read(tmp_path, "train", file.getvalue())
    assert (rows, problems) == ([{"text": "a", "label": "x"}], [])
    assert notices == ["train: read as Parquet, by its content (--format overrides)"]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
@pytest.mark.parametrize(
    "content",
    [
        "text\tlabel\nO\tB-x\ngood\tO\n\nbad\tO\n",
        "Text\tSentiment\ngood\tO\n\nbad\tB-x\n",
        "sku\tcode\na\tB-12\nb\tB-13\nc\tI-5\n",  # codes that look like tags
    ],
)
def test_tables_stay_tables(tmp_path: Path, name: str, content: str) -> None:
    rows, problems, notices = read(tmp_path, name, content)
    assert (problems, notices) == ([], [])
    assert list(rows[0]) == content.split("\n")[0].split("\t")


def test_columns_that_the_user_named_make_a_table(tmp_path: Path) -> None:
    content = "item\tcode\n" + "a\tO\n\nb\tB-13\nc\tI-5\n" * 5
    assert list(read(tmp_path, "a.tsv", content)[0][0]) == ["tokens", "tags"]
    reading = ReadingOptions(text_column="item", label_column="code")
    assert list(read(tmp_path, "a.tsv", content, reading=reading)[0][0]) == ["item", "code"]
    # The same table belongs to a model that was trained on such a one.
    rows, _, _ = read(tmp_path, "a.tsv", content, usual=reading, labelled=False)
    assert list(rows[0]) == ["item", "code"]


@pytest.mark.parametrize("name", ["a.txt", "a", "a.log"])
def test_texts_are_read_where_labels_are_not_needed(tmp_path: Path, name: str) -> None:
    rows, problems, notices = read(tmp_path, name, TEXTS, labelled=False)
    assert problems == []
    assert [row["text"] for row in rows] == TEXTS.split("\n")[:-1]
    assert notices == [f"{name}: read as one text a line, by its content (--format overrides)"]
    path = str(tmp_path / name)
    for task in ("ner", "classification"):
        examples = read_examples_file(task, path, labelled=False)
        assert [example.text for example in examples] == TEXTS.split("\n")[:-1]


def test_texts_without_labels_are_refused_where_labels_are_needed(tmp_path: Path) -> None:
    rows, problems, _ = read(tmp_path, "a.txt", TEXTS)
    assert rows == []
    assert problems[0].startswith("a.txt: holds one text a line, without labels; give a table")
    reading = ReadingOptions(format="text")
    assert read(tmp_path, "a.conll", TEXTS, reading=reading)[1][0].startswith("a.conll: holds one")


def test_columns_in_a_text_file_are_columns_in_prediction_too(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", COLUMNS, labelled=False)[0][0]["tokens"] == ["Anna", "ran"]
    one_word = "Anna\nran\n\nhome\n"
    rows, _, notices = read(tmp_path, "a.txt", one_word, labelled=False, words=True)
    assert (rows[0], notices) == ({"tokens": ["Anna", "ran"]}, [])
    rows, _, _ = read(tmp_path, "a.txt", one_word, labelled=False)
    assert [row["text"] for row in rows] == ["Anna", "ran", "", "home"]


@pytest.mark.parametrize(
    ("given", "name", "content", "keys"),
    [
        ("csv", "a.conll", TABLE, {"text", "label"}),
        ("tsv", "a.csv", "text\tlabel\na, b\tx\n", {"text", "label"}),
        ("conll", "a.csv", "a B-x\nb O\n", {"tokens", "tags"}),
        ("conll", "a", "__label__a B-x\n__label__b O\n", {"tokens", "tags"}),
        ("fasttext", "a.csv", "__label__x a\nb\nc\nd\n", {"text", "label"}),
        ("text", "a.csv", "text,label\na,b\n", {"text"}),
        ("json", "a.txt", JSON_LIST, {"text", "label"}),
        ("jsonl", "a.txt", JSON_LINES, {"text", "label"}),
    ],
)
def test_a_given_format_is_obeyed(
    tmp_path: Path, given: Any, name: str, content: str, keys: set[str]
) -> None:
    reading = ReadingOptions(format=given)
    rows, problems, notices = read(tmp_path, name, content, reading=reading, labelled=False)
    assert (problems, notices) == ([], [])
    assert set(rows[0]) == keys


def test_a_setting_of_tables_is_not_ignored_elsewhere(tmp_path: Path) -> None:
    reading = ReadingOptions(csv_quotes=False)
    _, _, notices = read(tmp_path, "a.jsonl", JSON_LINES, reading=reading)
    assert notices == [
        "a.jsonl: --no-csv-quotes is for CSV and TSV, not for JSON, an object a line"
    ]


@pytest.mark.parametrize("name", ["a.csv", "train", "a.testa", "a.conll"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"text,label\na,b\n", mtime=0), "is compressed"),
        (pickle.dumps(["a"]), "is a pickle, which can run code"),
        (b"%PDF-1.7\n", "is a document"),
        (b"PK\x03\x04rest", "is a spreadsheet or an archive"),
    ],
)
def test_what_is_not_text_is_refused_by_its_first_bytes(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    for reading in (ReadingOptions(), ReadingOptions(format="csv")):
        rows, problems, _ = read(tmp_path, name, content, reading=reading, labelled=False)
        assert rows == []
        assert len(problems) == 1
        assert message in problems[0]


def test_what_cannot_be_told_is_refused_and_the_flag_is_named(tmp_path: Path) -> None:
    rows, problems, _ = read(tmp_path, "a.xml", "<a>\n<b>c</b>\n</a>\n", labelled=False)
    assert rows == []
    assert problems[0].startswith("a.xml: unknown kind of file .xml; say with --format what it is")
