"""Files -> rows: every format, with the line of every row and of every problem."""

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowcost_ft.data.csv_files import read_csv
from lowcost_ft.data.json_files import read_json, read_json_lines
from lowcost_ft.data.readers import Row, read_dataset, read_rows

BOM = b"\xef\xbb\xbf"


def read(folder: Path, name: str, content: bytes | str) -> tuple[list[Row], list[str], list[str]]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    problems: list[str] = []
    notices: list[str] = []
    rows = read_rows(str(path), problems, notices)
    # Paths as the user typed them stand before each line; the tests need only the name.
    short = [problem.replace(f"{folder}/", "") for problem in problems]
    rows = [Row(r.values, r.source.replace(f"{folder}/", ""), r.first_line) for r in rows]
    return rows, short, [notice.replace(f"{folder}/", "") for notice in notices]


def values(rows: list[Row]) -> list[dict[str, Any]]:
    return [row.values for row in rows]


# --- CSV ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\nhello,x\nyes,None\n"),
        ("a.csv", "text;label\nhello;x\nyes;None\n"),
        ("a.csv", "text\tlabel\nhello\tx\nyes\tNone"),
        ("a.tsv", "text\tlabel\nhello\tx\nyes\tNone\n"),
        ("a.csv", '"text","label"\n"hello","x"\n"yes","None"\n'),
        ("a.csv", "text,label\r\nhello,x\r\nyes,None\r\n"),
        ("a.csv", "text,label\rhello,x\ryes,None\r"),
        ("a.csv", "text,label\r\nhello,x\nyes,None\r"),
        ("a.csv", BOM + b"text,label\nhello,x\nyes,None\n"),
        ("a.CSV", " text , label\nhello,x\nyes,None\n"),
        ("a.csv", "text|label\nhello|x\nyes|None\n"),
        ("a.txt", 'text|label\n"hello"|x\nyes|None\n'),
    ],
)
def test_csv_dialects(tmp_path: Path, name: str, content: bytes | str) -> None:
    rows, problems, _ = read(tmp_path, name, content)
    assert problems == []
    assert values(rows) == [{"text": "hello", "label": "x"}, {"text": "yes", "label": "None"}]
    assert [row.source for row in rows] == [f"{name}:2", f"{name}:3"]


def test_what_excel_adds_to_a_table_is_no_row(tmp_path: Path) -> None:
    content = BOM + b"sep=;\r\ntext;label;;\r\nhello, you;x;;\r\n;;;\r\nyes;y;;\r\n;;;\r\n"
    rows, problems, notices = read(tmp_path, "a.csv", content)
    assert problems == []
    assert values(rows) == [{"text": "hello, you", "label": "x"}, {"text": "yes", "label": "y"}]
    assert [row.source for row in rows] == ["a.csv:3", "a.csv:5"]
    assert "a.csv: 2 rows of empty cells left out, first a.csv:4" in notices


@pytest.mark.parametrize("label", ["None", "NA", "null", "nan", "N/A", "", "-1", "1e5"])
def test_csv_values_stay_text(tmp_path: Path, label: str) -> None:
    rows, problems, _ = read(tmp_path, "a.csv", f"text,label\nhello,{label}\n")
    assert (values(rows), problems) == ([{"text": "hello", "label": label}], [])


def test_csv_quotes_breaks_and_lines(tmp_path: Path) -> None:
    content = 'text,label\n"two\nlines, ""quoted""",x\r\n\n"u\u2028\x85v",y\n'
    rows, problems, _ = read(tmp_path, "a.csv", content)
    assert problems == []
    assert [row.values["text"] for row in rows] == ['two\nlines, "quoted"', "u\u2028\x85v"]
    assert [row.source for row in rows] == ["a.csv:2", "a.csv:5"]


def test_csv_long_field(tmp_path: Path) -> None:
    rows, problems, _ = read(tmp_path, "a.csv", f"text,label\n{'w ' * 200_000},x\n")
    assert problems == []
    assert len(rows[0].values["text"]) == 400_000


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('text,label\nok,x\n"open,y\nnext,z\n', 3),  # to the end of the file
        ('text,label\n"open,y\n"next",z\n', 2),  # closed by a later quote
        ('text,label\n"open,y\n"next","z"\n', 2),
        ('text,label\n"a\nb","open,y\nnext,z\n', 3),  # the second field of a record
        ('text,label\n"say ""hi"" and\ngo,y\n', 2),  # doubled quotes do not open
        ('text,label\n"a"b,y\n', 2),
        ('"text,label\na,b\n', 1),
        ('text,label\r"open,y\rnext,z\r', 2),
    ],
)
def test_csv_unclosed_quote_names_its_line(tmp_path: Path, content: str, line: int) -> None:
    _, problems, _ = read(tmp_path, "a.csv", content)
    assert len(problems) == 1
    assert problems[0].startswith(f"a.csv:{line}: the quote that opens here")


def test_csv_ragged_row(tmp_path: Path) -> None:
    rows, problems, _ = read(tmp_path, "a.csv", "text,label\na,b\nc, d,e\nf\ng,h\n")
    assert len(rows) == 2
    assert problems[0].startswith("a.csv:3: 3 fields where the header has 2")
    assert problems[1].startswith("a.csv:4: 1 field where")


def test_csv_repeated_header(tmp_path: Path) -> None:
    _, problems, _ = read(tmp_path, "a.csv", "text,text\na,b\n")
    assert 'header has "text" twice' in problems[0]


def test_csv_header_alone(tmp_path: Path) -> None:
    _, problems, _ = read(tmp_path, "a.csv", "text,label\n")
    assert problems == ["a.csv: holds no rows; add some or give another file"]


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text,a|b\nx | y | z,1\n", {"text": "x | y | z", "a|b": "1"}),
        ("text\nx | y\n", {"text": "x | y"}),
        ("text|en\nhello you\nyes\nno|no\n", {"text|en": "hello you"}),
    ],
)
def test_a_bar_in_a_text_cuts_nothing(tmp_path: Path, content: str, expected: Any) -> None:
    rows, problems, _ = read(tmp_path, "a.csv", content)
    assert (values(rows)[0], problems) == (expected, [])


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=4), st.sampled_from(",;\t|"))
def test_csv_written_is_read(rows: list[tuple[str, str]], delimiter: str) -> None:
    quoted = [[cell.replace('"', '""') for cell in row] for row in [("text", "label"), *rows]]
    content = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in quoted)
    problems: list[str] = []
    result = read_csv("a.csv", content, None, problems)
    assert problems == []
    assert [tuple(row.values.values()) for row in result] == rows


# --- JSON --------------------------------------------------------------------------------------


def test_json_lines(tmp_path: Path) -> None:
    content = '{"text": "a\u2028b"}\r\n\n{"text": "c", "label": null}'
    rows, problems, _ = read(tmp_path, "a.jsonl", BOM + content.encode())
    assert problems == []
    assert rows == [
        Row({"text": "a\u2028b"}, "a.jsonl:1"),
        Row({"text": "c", "label": None}, "a.jsonl:3"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', "broken JSON"),
        ("hello", "broken JSON"),
        ('{"text": "a"} {"text": "b"}', "broken JSON"),
        ('["a", "b"]', "not a JSON object"),
        ('"a"', "not a JSON object"),
        ("3", "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"text": "a", "text": "b"}', 'the key "text" occurs twice'),
        ('{"text": "a", "inner": {"k": 1, "k": 2}}', 'the key "k" occurs twice'),
        ('{"text": "a", "label": NaN}', "NaN is not JSON"),
        ('{"text": "a", "label": -Infinity}', "-Infinity is not JSON"),
        ('{"text": ' + "[" * 200_000, "broken JSON|nested too deeply"),
        ('{"text": ' + "1" * 5000 + "}", "digits"),
    ],
)
def test_json_broken_line_has_its_number(tmp_path: Path, line: str, message: str) -> None:
    rows, problems, _ = read(tmp_path, "a.jsonl", f'{{"text": "x"}}\n\n{line}\n{{"text": "y"}}\n')
    assert len(rows) == 2
    assert len(problems) == 1
    assert problems[0].startswith("a.jsonl:3: ")
    assert any(part in problems[0] for part in message.split("|"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_objects_over_several_lines(tmp_path: Path, name: str) -> None:
    given = [{"text": "a", "label": ["x"]}, {"text": "b", "label": []}]
    content = "\n".join(json.dumps(row, indent=2) for row in given)
    rows, problems, _ = read(tmp_path, name, content + "\n")
    assert problems == [] and values(rows) == given
    assert rows[1].source == f"{name}:{len(json.dumps(given[0], indent=2).splitlines()) + 1}"
    _, problems, _ = read(tmp_path, name, content + "\n{")
    assert problems and "broken JSON" in problems[0]


def test_json_list(tmp_path: Path) -> None:
    content = '\n[\n  {"text": "a"},\r\n {"text":\n "b"} , {"text": "c"}\n]\n'
    rows, problems, _ = read(tmp_path, "a.json", content)
    assert problems == []
    assert [row.source for row in rows] == ["a.json:3", "a.json:4", "a.json:5"]
    assert [row.values["text"] for row in rows] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('[{"text": "a"},\n{"text": }]', 2),
        ('[{"text": "a"}\n{"text": "b"}]', 2),
        ('[{"text": "a"},\n]', 2),
        ('[{"text": "a"}]\n]', 2),
        ('[{"text": "a"}\n', 2),
        ('[{"text": "a"},\n', 2),
        ('[{"text": "a"},\n{"text": "b",\n "text": "c"}]', 2),
        ('[{"text": "a"},\n"b"]', 2),
        ('[{"text": "a",\n "label": NaN}]', 1),
    ],
)
def test_json_broken_list(tmp_path: Path, content: str, line: int) -> None:
    _, problems, _ = read(tmp_path, "a.json", content)
    assert len(problems) == 1
    assert problems[0].startswith(f"a.json:{line}: ")


def test_json_file_may_hold_lines(tmp_path: Path) -> None:
    rows, problems, _ = read(tmp_path, "a.json", '{"text": "a"}\n{"text": "b"}\n')
    assert (len(rows), problems) == (2, [])
    rows, problems, _ = read(tmp_path, "b.json", '{"text": "a"}\n')
    assert (len(rows), problems) == (1, [])


def test_json_wrapped_list_is_explained(tmp_path: Path) -> None:
    rows, problems, notices = read(tmp_path, "a.json", '{\n"data": [{"text": "a"}]\n}')
    assert (len(rows), problems) == (1, [])
    assert notices[0].endswith('a.json: read as the 1 row under "data"')
    # Two lists may be anything.
    two = '{\n"data": [{"text": "a"}], "more": [{"text": "b"}]\n}'
    _, problems, _ = read(tmp_path, "b.json", two)
    assert problems[0].startswith('b.json:1: one JSON object with the keys "data", "more"')


@pytest.mark.parametrize("content", ['[{"text": "a"},\n{"text": "b"}]', '\n[\n{"text": "a"}]'])
def test_a_list_is_read_whatever_the_files_name(tmp_path: Path, content: str) -> None:
    rows, problems, _ = read(tmp_path, "a.jsonl", content)
    assert problems == []
    assert [row.values for row in rows] == json.loads(content)


@pytest.mark.parametrize(
    "content", ['[{"text": ""}, {"text": "b"}]', '{"text":\n""} {"text": "b"} {"text": "c"}']
)
def test_rows_of_one_line_are_told_by_their_number(tmp_path: Path, content: str) -> None:
    rows, problems, _ = read(tmp_path, "a.json", content)
    assert problems == []
    sources = [row.source for row in rows]
    assert len(set(sources)) == len(rows) > 1 and all(s.startswith("a.json:") for s in sources)


def test_json_empty_list(tmp_path: Path) -> None:
    _, problems, _ = read(tmp_path, "a.json", "[ ]")
    assert problems == ["a.json: holds no rows; add some or give another file"]


json_rows = st.lists(
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()), min_size=1
)


@given(json_rows, st.booleans())
def test_json_written_is_read(rows: list[dict[str, Any]], ascii_only: bool) -> None:
    problems: list[str] = []
    lines = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    whole = json.dumps(rows, ensure_ascii=ascii_only, indent=1)
    assert values(read_json_lines("a.jsonl", lines, problems)) == rows
    assert values(read_json("a.json", whole, problems)) == rows
    assert problems == []


# --- CoNLL -------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [".conll", ".bio", ".iob", ".iob2", ".txt"])
def test_conll(tmp_path: Path, extension: str) -> None:
    content = "\nAnna\tB-per\nran\tO\n\t\nto\tO\r\nRome\tB-loc\n \n\nhere\tO"
    rows, problems, notices = read(tmp_path, f"a{extension}", content)
    assert (problems, notices) == ([], [])
    assert values(rows) == [
        {"tokens": ["Anna", "ran"], "tags": ["B-per", "O"]},
        {"tokens": ["to", "Rome"], "tags": ["O", "B-loc"]},
        {"tokens": ["here"], "tags": ["O"]},
    ]
    assert [row.first_line for row in rows] == [2, 5, 9]
    assert rows[1].source == f"a{extension}:5"


def test_conll_spaces_columns_and_docstart(tmp_path: Path) -> None:
    content = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects  VBZ\tB-VP O \n"
    rows, problems, notices = read(tmp_path, "a.conll", content)
    assert problems == []
    assert values(rows) == [{"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}]
    assert notices[0] == "a.conll: 1 -DOCSTART- line(s) skipped"
    assert notices[1].startswith("a.conll: the words are column 1 and the tags column 4 of 4; tags")
    assert len(notices) == 2


def test_conll_words_may_hold_anything(tmp_path: Path) -> None:
    content = 'a\u2028b\tO\n"\tO\nNew York\tB-loc\n\u00a0\tO\n#\tO\n'
    rows, problems, _ = read(tmp_path, "a.conll", content)
    assert problems == []
    assert rows[0].values["tokens"] == ["a\u2028b", '"', "New York", "\u00a0", "#"]


def test_conll_one_column_is_unlabelled(tmp_path: Path) -> None:
    rows, problems, _ = read(tmp_path, "a.conll", "Anna\nran\n\nhome\n")
    assert problems == []
    assert values(rows) == [{"tokens": ["Anna", "ran"]}, {"tokens": ["home"]}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("\tO", "a tag without a word"),
        ("word\t", "a word without a tag"),
        ("word", "a word without a tag"),
        ("word O", "a word without a tag"),  # a space where the file has tabs
        ("word\tX\tO", "3 columns where most lines have 2"),
    ],
)
def test_conll_broken_line(tmp_path: Path, line: str, message: str) -> None:
    _, problems, _ = read(tmp_path, "a.conll", f"Anna\tB-per\nran\tO\n{line}\nhome\tO\n")
    assert len(problems) == 1
    assert problems[0].startswith(f"a.conll:3: {message}")


@pytest.mark.parametrize(
    ("line", "message"),
    [(" O", "a tag without a word"), ("word", "a word without"), ("a b O", "3 columns")],
)
def test_conll_broken_line_with_spaces(tmp_path: Path, line: str, message: str) -> None:
    _, problems, _ = read(tmp_path, "a.conll", f"Anna B-per\nran O\n{line}\nhome O\n")
    assert len(problems) == 1
    assert problems[0].startswith(f"a.conll:3: {message}")


def test_conll_broken_first_line_is_the_one_named(tmp_path: Path) -> None:
    _, problems, _ = read(tmp_path, "a.conll", "Anna\nran\tO\nhome\tO\n")
    assert len(problems) == 1
    assert problems[0].startswith("a.conll:1: ")


# --- Files as such -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.conll", "a.tsv"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "{}: the file is empty"),
        (b"\n \r\n\t\n", "{}: the file is empty but for blank lines"),
        (BOM, "{}: the file is empty"),
        (b"text,label\nab\xe9,x\n", "{}:2: not UTF-8 (byte 0xe9 at offset 13)"),
        (BOM + b"text\r\rab\xff", "{}:3: not UTF-8 (byte 0xff at offset 11)"),
        (b"text,label\nab\0c,x\n", "{}:2: a binary file (zero byte at offset 13)"),
        ("text,label\nä,x".encode("utf-16"), "{}: is UTF-16 text; convert it (`iconv -f UTF-16"),
        ("text,label\nä,x".encode("utf-16-le"), "{}: is UTF-16LE text; convert it (`iconv"),
        ("text,label\nä,x".encode("utf-16-be"), "{}: is UTF-16BE text; convert it (`iconv"),
        ("text,label\nä,x".encode("utf-32"), "{}: is UTF-32 text; convert it (`iconv -f UTF-32"),
        (b"PK\x03\x04\x00rest", "{}: is a spreadsheet or an archive, not text"),
    ],
)
def test_bad_bytes(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    rows, problems, _ = read(tmp_path, name, content)
    assert rows == []
    assert len(problems) == 1
    assert problems[0].startswith(message.format(name))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text,label\n“café”,x\n".encode("windows-1252"),
            "a.csv:2: not UTF-8 (byte 0x93 at offset 11); likely WINDOWS-1252, where the byte is "
            '"“"; convert it (`iconv -f WINDOWS-1252 -t UTF-8 ',
        ),
        ("text,label\né,x\n".encode("latin-1"), 'WINDOWS-1252, where the byte is "é"'),
        ("text,label\nж,x\n".encode("windows-1251"), 'WINDOWS-1252, where the byte is "æ"'),
        (b"text,label\n\x81,x\n", "; save it as UTF-8 text (`iconv -f ITS_ENCODING -t UTF-8"),
        ("text,label\nä,漢".encode()[:-1], "ends inside a character, as if it were cut off"),
    ],
)
def test_the_likely_encoding_and_the_fix(tmp_path: Path, content: bytes, message: str) -> None:
    _, problems, _ = read(tmp_path, "a.csv", content)
    assert len(problems) == 1
    assert message in problems[0]


def test_missing_folder_and_unknown_files(tmp_path: Path) -> None:
    problems: list[str] = []
    (tmp_path / "a.csv").mkdir()
    names = ("none.csv", "a.csv", "a.xlsx", "a.docx", "a.csv.gz", "a.pt", "a.xml", "plain")
    for name in names[2:]:
        (tmp_path / name).write_text("x")
    for name in names:
        assert read_rows(f"{tmp_path}/{name}", problems, []) == []
    assert [problem.split(": ", 1)[1].split(";")[0] for problem in problems] == [
        "no such file",
        "is a folder, not a file",
        ".xlsx is a spreadsheet",
        ".docx is a document",
        ".gz is compressed",
        ".pt is a file that can run code when it is read",
        "unknown kind of file .xml",
        "unknown kind of file (no extension)",
    ]


def test_an_annotation_of_brat_alone_is_no_file_of_rows(tmp_path: Path) -> None:
    _, problems, _ = read(tmp_path, "a.ann", "T1\tPER 0 3\tAda\n")
    assert len(problems) == 1 and "give the folder with its .ann and .txt files" in problems[0]


def test_text_is_the_same_after_any_encoding_of_it(tmp_path: Path) -> None:
    text = "\u200b ß 漢字 \U0001f600 e\u0301"
    rows, problems, _ = read(tmp_path, "a.jsonl", json.dumps({"text": text}))
    again, _, _ = read(tmp_path, "b.jsonl", json.dumps({"text": text}, ensure_ascii=False))
    assert problems == []
    assert values(rows) == values(again) == [{"text": text}]


# --- Parquet and saved data sets ---------------------------------------------------------------


def test_parquet(tmp_path: Path) -> None:
    table = pyarrow.table({"text": ["a", None], "label": [1.5, float("nan")], "n": [[1], []]})
    folder = tmp_path / "split=train"  # must not become a column
    folder.mkdir()
    pyarrow.parquet.write_table(table, folder / "a.parquet")
    problems: list[str] = []
    rows = read_rows(f"{folder}/a.parquet", problems, [])
    assert problems == []
    assert rows[0] == Row({"text": "a", "label": 1.5, "n": [1]}, f"{folder}/a.parquet:row 1")
    assert rows[1].values["text"] is None


@pytest.mark.parametrize("content", [b"PAR1 nonsense PAR1", b"text,label\n", b"PAR1" * 100])
def test_parquet_broken(tmp_path: Path, content: bytes) -> None:
    _, problems, _ = read(tmp_path, "a.parquet", content)
    assert len(problems) == 1
    assert problems[0].startswith("a.parquet: broken Parquet file")


def test_parquet_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"] * 1000}), path)
    _, problems, _ = read(tmp_path, "b.parquet", path.read_bytes()[:-20])
    assert problems[0].startswith("b.parquet: broken Parquet file")


def test_parquet_without_rows(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": []}), tmp_path / "a.parquet")
    problems: list[str] = []
    read_rows(f"{tmp_path}/a.parquet", problems, [])
    assert problems[0].endswith("holds no rows; add some or give another file")


def test_parquet_with_repeated_column(tmp_path: Path) -> None:
    table = pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 2, names=["text", "text"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    problems: list[str] = []
    assert read_rows(f"{tmp_path}/a.parquet", problems, []) == []
    assert problems[0].endswith("two columns have the same name; rename one")


def named_dataset(labels: list[int]) -> datasets.Dataset:
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["no", "yes"]),
            "ner_tags": datasets.List(datasets.ClassLabel(names=["O", "B-x"])),
        }
    )
    columns = {"text": ["t"] * len(labels), "label": labels, "ner_tags": [[0, 1]] * len(labels)}
    return datasets.Dataset.from_dict(columns, features=features)


def test_parquet_of_datasets_has_class_names(tmp_path: Path) -> None:
    named_dataset([1]).to_parquet(tmp_path / "a.parquet")
    rows = read_rows(f"{tmp_path}/a.parquet", [], [])
    assert values(rows) == [{"text": "t", "label": "yes", "ner_tags": ["O", "B-x"]}]


def test_saved_dataset(tmp_path: Path) -> None:
    name = f"{tmp_path}/saved"
    datasets.DatasetDict(
        {
            "train": named_dataset([1, 0]),
            "dev": named_dataset([0]),
            "test": named_dataset([-1, -1]),
            "extra": named_dataset([0]),
        }
    ).save_to_disk(name)
    problems: list[str] = []
    notices: list[str] = []
    splits = read_dataset(name, None, problems, notices)
    assert problems == []
    assert list(splits) == ["train", "validation"]
    assert splits["train"][0].values == {"text": "t", "label": "yes", "ner_tags": ["O", "B-x"]}
    assert splits["validation"][0].source == f"{name}/dev:row 1"
    assert notices == [
        f'{name}: test split left out, all its "label" are unknown',
        f'{name}: split(s) not used: "extra"',
    ]


def test_dataset_with_faulty_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    splits: dict[str, list[int]] = {"train": [], "dev": [0], "val": [1]}
    parts = {split: named_dataset(labels) for split, labels in splits.items()}
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: datasets.DatasetDict(parts))
    problems: list[str] = []
    assert read_dataset("someone/something", None, problems, []) == {}
    assert problems == [
        'someone/something: the split "train" holds no rows',
        'someone/something: "dev" and "val" are both validation splits; rename one',
    ]


def test_saved_dataset_with_an_empty_split(tmp_path: Path) -> None:
    named_dataset([]).save_to_disk(f"{tmp_path}/saved")
    problems: list[str] = []
    read_dataset(f"{tmp_path}/saved", None, problems, [])
    assert len(problems) == 1
    assert "split without rows" in problems[0] or "holds no rows" in problems[0]


def test_saved_single_dataset_is_training(tmp_path: Path) -> None:
    named_dataset([1, -1]).save_to_disk(f"{tmp_path}/saved")
    splits = read_dataset(f"{tmp_path}/saved", None, [], [])
    assert [row.values["label"] for row in splits["train"]] == ["yes", None]


def test_bad_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(name: str, config_name: str | None) -> None:
        raise ConnectionError("no route to the Hub\nsecond line")

    monkeypatch.setattr(datasets, "load_dataset", no_network)
    (tmp_path / "a.csv").write_text("text,label\n")
    saved = f"{tmp_path}/saved"
    datasets.DatasetDict({"a": named_dataset([1]), "dev": named_dataset([0])}).save_to_disk(saved)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "state.json").write_text("{")
    expected = {
        f"{tmp_path}/a.csv": "is a file; give it with --train-file",
        f"{tmp_path}/none": "no such folder",
        f"{tmp_path}": "is a folder that datasets.save_to_disk did not write",
        f"{tmp_path}/broken": "is a broken data set folder",
        saved: 'no split "train"; the splits are "a", "dev"',
        "nobody/nothing-of-this-name": "Hub (ConnectionError: no route to the Hub)",
    }
    for name, message in expected.items():
        problems: list[str] = []
        read_dataset(name, None, problems, [])
        assert len(problems) == 1
        assert name in problems[0]
        assert message in problems[0]
    problems = []
    read_dataset(saved, "en", problems, [])
    assert "--dataset-config-name is for Hub data sets" in problems[0]


def test_blank_lines_of_a_table_with_one_column_are_counted(tmp_path: Path) -> None:
    rows, problems, notices = read(tmp_path, "a.csv", 'text\none\n\n""\ntwo\n\n')
    assert [row.values["text"] for row in rows] == ["one", "", "two"] and not problems
    assert any("1 blank line not taken for a row, first line 3" in notice for notice in notices)
    assert not any("blank line" in n for n in read(tmp_path, "b.csv", "text\none\ntwo\n\n")[2])
