"""Quotes that swallow rows are found by the rows in them; texts of several lines still read."""

from pathlib import Path

import pytest

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.csv_files import read_csv
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.loading import load_splits

LABELS = ("pos", "neg")


def table(delimiter: str, order: str, labels: tuple[str, ...] = LABELS) -> list[str]:
    """The header and 30 rows, with the text or the label first."""
    lines = ["text,label"] + [f"text {i},{labels[i % len(labels)]}" for i in range(1, 31)]
    if order == "label first":
        lines = [",".join(reversed(line.split(","))) for line in lines]
    elif order == "text between":
        lines = ["id," + lines[0], *(f"{i},{line}" for i, line in enumerate(lines[1:], 1))]
    return [line.replace(",", delimiter) for line in lines]


def read(lines: list[str], delimiter: str = ",", **flags: bool) -> tuple[int, list[str], list[str]]:
    problems: list[str] = []
    notices: list[str] = []
    rows = read_csv("a.csv", "\n".join(lines), delimiter, problems, notices, **flags)
    return len(rows), problems, notices


def quoted(lines: list[str], opens: int, closes: int, order: str) -> list[str]:
    """A quote before the text on one line, and one behind the text on a later one."""
    lines = list(lines)
    delimiter = next(mark for mark in ",\t;" if mark in lines[0])
    place = {"text first": 0, "label first": 1, "text between": 1}[order]
    for line, before, behind in ((opens, '"', ""), (closes, "", '"')):
        cells = lines[line - 1].split(delimiter)
        cells[place] = before + cells[place] + behind
        lines[line - 1] = delimiter.join(cells)
    return lines


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("order", ["text first", "label first", "text between"])
@pytest.mark.parametrize(("opens", "closes"), [(4, 7), (4, 5), (1, 6), (29, 31), (30, 31)])
def test_a_stray_quote_is_named_with_both_places(
    delimiter: str, order: str, opens: int, closes: int
) -> None:
    lines = quoted(table(delimiter, order), opens, closes, order)
    _, problems, _ = read(lines, delimiter)
    assert len(problems) == 1
    assert problems[0].startswith(
        f"a.csv:{opens}: the quote that opens here closes on line {closes} and takes in what looks "
    )
    assert "--no-csv-quotes" in problems[0]
    if opens > 1:
        lost = closes - opens
        assert f" {lost} row{'s' * (lost > 1)} with a label" in problems[0]
    count, problems, _ = read(lines, delimiter, quotes=False)
    assert problems == []
    assert count == 30


@pytest.mark.parametrize(
    "labels", [("a|b", "b"), ("a;b", "b;c", "c"), ("1", "0"), ("0.5", "1.25", "2.75", "3.5")]
)
def test_labels_of_other_kinds_tell_as_well(labels: tuple[str, ...]) -> None:
    lines = quoted(table("\t", "label first", labels), 10, 14, "label first")
    _, problems, _ = read(lines, "\t")
    assert problems[0].startswith("a.csv:10: the quote that opens here closes on line 14")


def test_numbers_that_no_other_row_has_tell_where_there_are_several() -> None:
    lines = ["score,text"] + [f"{i / 7:.4f},text {i}" for i in range(30)]
    assert read(quoted(lines, 4, 8, "label first"))[1]
    text = '0.123,"It cost me\n1,000 in all"'
    count, problems, notices = read([*lines, text])
    assert (count, problems) == (31, [])
    assert (
        "1 quoted text of several lines that could be rows, the first on lines 32 to 33"
        in (notices[0])
    )


@pytest.mark.parametrize(
    "text",
    [
        "one line\nand another",
        "Hello,\nI want to ask, please,\nfor a refund",
        "a list:\n- pos, which is good\n- neg, which is not",
        "one, pos\ntwo, neg",  # labels with a blank before them are words of a sentence
        "\n\nblank lines\n\n",
    ],
)
@pytest.mark.parametrize("order", ["text first", "label first"])
def test_texts_of_several_lines_are_read(text: str, order: str) -> None:
    lines = table(",", order)
    row = f'"{text}",pos' if order == "text first" else f'pos,"{text}"'
    count, problems, notices = read([*lines, row])
    assert (count, problems) == (31, [])
    assert notices == [] or "pos" in text  # Told where a word could be the label of a row.


def test_where_nothing_tells_a_notice_does() -> None:
    lines = ["text", *(f"text {i}" for i in range(9))]
    lines[3], lines[5] = '"text 2', 'text 4"'
    count, problems, notices = read(lines)
    assert (count, problems) == (7, [])
    assert "the first on lines 4 to 6; --no-csv-quotes" in notices[0]


def test_a_quote_around_labels_is_found_as_well() -> None:
    lines = table(",", "label first")
    lines[7], lines[9] = f'"{lines[7]}', lines[9].replace(",", '",')
    assert lines[7].startswith('"neg') or lines[7].startswith('"pos')
    _, problems, _ = read(lines)
    assert problems[0].startswith("a.csv:8: the quote that opens here closes on line 10 and takes")
    lines = [*table(",", "text first"), 'text,"pos\n"', 'text,"pos\nneg"']
    count, problems, notices = read(lines)
    assert (count, problems) == (32, [])
    assert "1 quoted text of several lines that could be rows, the first on lines 34" in notices[0]


def test_an_open_quote_and_a_wide_row_offer_what_works(tmp_path: Path) -> None:
    lines = table(",", "label first")
    lines[3] = 'pos,"text 3'
    _, problems, _ = read(lines)
    assert "--no-csv-quotes" in problems[0]
    lines[5] = "neg,a,b"
    _, problems, _ = read(lines, quotes=False)
    assert problems == [
        'a.csv:6: 3 fields where the header has 2; read without quotes, a text cannot hold ",": '
        "give such texts as JSONL, or put quotes around them and leave out --no-csv-quotes"
    ]


def test_the_flag_reaches_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(quoted(table(",", "label first"), 4, 7, "label first")))
    with pytest.raises(UserError, match="the quote that opens here closes on line 7"):
        load_splits("classification", train_file=str(path))
    splits = load_splits(
        "classification", train_file=str(path), reading=ReadingOptions(csv_quotes=False)
    )
    assert len(splits.train) + len(splits.validation) == 30
    assert '"text 3' in [example.text for example in [*splits.train, *splits.validation]]
