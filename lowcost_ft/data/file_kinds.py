"""What a file holds, by its content first and its extension second."""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Sequence

from lowcost_ft.data.column_layout import (
    COMMENT,
    DOCSTART,
    by_tabs,
    is_header,
    is_tag_like,
    split_line,
)
from lowcost_ft.data.csv_files import csv_delimiter
from lowcost_ft.data.json_files import is_json_list, is_json_object
from lowcost_ft.data.known_names import (
    LABEL_NAMES,
    SENTENCE_NAME,
    TAG_NAMES,
    TEXT_NAMES,
    WORD_NAMES,
)
from lowcost_ft.data.rows import LINE_BREAK, plain_name
from lowcost_ft.data.semeval_files import is_semeval

__all__ = ["EXTENSIONS", "FORMATS", "extension_of", "format_of"]

FORMATS = {
    "jsonl": "JSON, an object a line",
    "json": "JSON",
    "csv": "CSV",
    "tsv": "TSV",
    "conll": "columns with one word a line",
    "fasttext": "fastText lines, `__label__x text`",
    "text": "one text a line",
    "parquet": "Parquet",
    "tmx": "TMX, a translation memory",
    "semeval": "numbered sentences with <e1> and <e2>, as in SemEval-2010 task 8",
}
"""Values of --format, and what to call them in messages."""

EXTENSIONS = {
    **{".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv"},
    **{".parquet": "parquet", ".txt": "conll", ".tmx": "tmx"},
    **dict.fromkeys((".conll", ".conllu", ".bio", ".iob", ".iob2", ".bioes", ".bmes"), "conll"),
}

_FASTTEXT = re.compile(r"__label__\S+(\s|$)")
_BLANK_LINE = re.compile(r"\S\s*?(?:\r\n|\r|\n)[ \t]*(?:\r\n|\r|\n)\s*\S")
_MARKUP = re.compile(r"\s*<[?!a-zA-Z]")
_LOOKED_AT = 2000


def extension_of(path: str) -> str:
    """The end of a file's name, in lower case."""
    return os.path.splitext(path)[1].lower()


def format_of(
    path: str, text: str, *, labelled: bool, words: bool, asked: Sequence[str] = ()
) -> tuple[str | None, bool]:
    """What a text file holds.

    Args:
        path: Its name.
        text: Its content.
        labelled: Whether it must hold labels, which rules out one text a line.
        words: Whether a list of single words is a sentence, as for NER, or a list of texts.
        asked: Columns of texts and labels that the user named: a header with one is of a table.

    Returns:
        One of `FORMATS`, or None for a file that is none of them; and whether its extension says
        another thing, or nothing.
    """
    extension = extension_of(path)
    expected = EXTENSIONS.get(extension)
    lines = [line for line in LINE_BREAK.split(text, _LOOKED_AT) if line.strip()][:_LOOKED_AT]
    found = _by_content(text, lines, expected, asked)
    if found is None and extension == ".txt" and not (words and _are_words(lines)):
        found = None if labelled and not _are_texts(lines) else "text"
    if found is None and expected is None and not labelled and not _MARKUP.match(text):
        found = "text"
    kind = found or expected
    return kind, kind != expected


def _by_content(
    text: str, lines: Sequence[str], expected: str | None, asked: Sequence[str]
) -> str | None:
    """What a content shows beyond doubt, or None."""
    if expected in ("json", "jsonl"):
        if text.lstrip()[:1] in ("{", "["):
            return expected
    elif is_json_list(text):
        return "json"
    elif is_json_object(lines[0]):
        return "jsonl"
    elif lines[0].lstrip()[:1] == "{" and (
        is_json_object(text) or (expected is None and lines[-1].rstrip()[-1:] == "}")
    ):
        return "json"
    if is_semeval(lines[0]) and (len(lines) == 1 or "\t" not in lines[1] or is_semeval(lines[1])):
        return "semeval"
    in_table = expected in ("csv", "tsv")
    delimiter = "\t" if expected == "tsv" else csv_delimiter(lines[0])
    header = _header(lines[0], delimiter)
    if in_table and (_names_a_text(header) or header & {plain_name(name) for name in asked}):
        return expected
    labelled = sum(_FASTTEXT.match(line) is not None for line in lines)
    if labelled >= (0.5 if _FASTTEXT.match(lines[0]) else 0.9) * len(lines):
        return "fasttext"
    # Without blank lines a table can hold codes that look like tags: its first line tells.
    table = in_table and _BLANK_LINE.search(text) is None
    if _are_columns(text, lines) and not (table and header):
        return "conll"
    usual = {*TEXT_NAMES, *LABEL_NAMES, *WORD_NAMES, *TAG_NAMES}
    if not in_table and header & usual and _is_table(lines, delimiter):
        return "tsv" if delimiter == "\t" else "csv"
    return None


def _header(line: str, delimiter: str) -> set[str]:
    try:
        cells = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        cells = []
    # A line of words and tags does not name columns, whatever its words are.
    return set() if any(map(is_tag_like, cells)) else {plain_name(cell) for cell in cells}


def _names_a_text(header: set[str]) -> bool:
    """Whether the columns are those of texts, or of words with a column for their sentence."""
    words = header & set(WORD_NAMES) and header & set(TAG_NAMES)
    return bool(header & {*TEXT_NAMES, "premise", "sentence1", "text1", "question1"}) or bool(
        words and any(SENTENCE_NAME.fullmatch(name) for name in header)
    )


def _is_table(lines: Sequence[str], delimiter: str) -> bool:
    content = io.StringIO("\n".join(lines[:_LOOKED_AT]), newline="")
    try:
        widths = [len(fields) for fields in csv.reader(content, delimiter=delimiter)]
    except csv.Error:
        return False
    return len(widths) > 1 and widths[0] > 1 and widths.count(widths[0]) >= 0.9 * len(widths)


def _data_lines(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if not line.startswith((COMMENT, DOCSTART))]


def _are_columns(text: str, lines: Sequence[str]) -> bool:
    """Whether lines are cut into the same columns, one of which holds tags, with a word before."""
    data = _data_lines(lines)
    if not data:
        return False
    tabs = by_tabs(data)
    cells = [split_line(line, tabs) for line in data]
    if is_header(cells[0]):
        cells = cells[1:]
    if not cells:
        return False
    width = Counter(map(len, cells)).most_common(1)[0][0]
    whole = [columns for columns in cells if len(columns) == width]
    if width < 2 or len(whole) < 0.9 * len(cells):
        return False
    if sum(" " in columns[0] for columns in whole) > 0.1 * len(whole):
        return False
    for place in range(width):
        column = [columns[place] for columns in whole]
        tags = sum(map(is_tag_like, column))
        outside = sum(cell in ("O", "o") for cell in column)
        if tags >= 0.9 * len(column) and (tags > outside or _BLANK_LINE.search(text)):
            return True
    # Types without a prefix: mostly outside, few of them, and sentences that blank lines end.
    column = [columns[-1] for columns in whole]
    outside = sum(cell in ("O", "o") for cell in column)
    few = len(set(column)) <= max(2, len(column) // 2)
    return outside >= 0.3 * len(column) and few and _BLANK_LINE.search(text) is not None


def _are_words(lines: Sequence[str]) -> bool:
    return all(len(line.split()) == 1 for line in lines)


def _are_texts(lines: Sequence[str]) -> bool:
    """Whether lines are cut into so different numbers of words that they are not columns."""
    data = _data_lines(lines)
    if any("\t" in line for line in data):
        return False
    widths = Counter(len(line.split()) for line in data)
    return len(data) > 3 and widths.most_common(1)[0][1] < 0.6 * len(data)
