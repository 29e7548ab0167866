"""Files with one word a line, in columns -> sentences."""

import re
from collections import Counter
from collections.abc import Sequence

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.column_choice import chosen_layout, column_names_of, with_usual
from lowcost_ft.data.column_layout import (
    COMMENT,
    DOCSTART,
    Layout,
    by_tabs,
    find_layout,
    is_header,
    is_tag_like,
    split_line,
)
from lowcost_ft.data.rows import LINE_BREAK, Row, counted, shown

__all__ = ["read_columns"]

_LONG_SENTENCE = 200
_MANY_ENDS = 3
_SENTENCE_ENDS = {".", "!", "?", "。", "！", "？"}  # noqa: RUF001
_SETTING = re.compile(r"#\s*[\w.:-]+\s*=\s")
_NUMBERING = re.compile(r"\d+([-.]\d+)?", re.ASCII)
_SEVERAL_WORDS = re.compile(r"\d+[-.]\d+", re.ASCII)


def read_columns(
    path: str,
    text: str,
    problems: list[str],
    notices: list[str],
    reading: ReadingOptions | None = None,
    *,
    usual: ReadingOptions | None = None,
    labelled: bool = True,
) -> list[Row]:
    """Sentences of a file with one word a line, its tag in another column.

    Columns are separated by tabs where most lines have one, else by spaces. A blank line, or one of
    tabs and spaces alone, ends a sentence. `-DOCSTART-` lines, comments (lines that begin with `#`
    and lack the file's columns with a tag) and a header are skipped.

    Args:
        path: For the messages.
        text: Content of the file.
        problems: Gets a line for each problem.
        notices: Gets a line for what is skipped, and for columns that are not the obvious ones.
        reading: Columns that the user chose, by name or by number.
        usual: Columns that training used, taken where the file has them.
        labelled: Whether tags are needed.

    Returns:
        Rows `{"tokens": [...], "tags": [...]}`, under the names that the user gave the columns;
        without tags if no column holds any.
    """
    reading = reading or ReadingOptions()
    lines = [line if line.strip(" \t") else "" for line in LINE_BREAK.split(text)]
    body = [line for line in lines if line and not line.startswith(DOCSTART)]
    data = [line for line in body if not line.startswith(COMMENT)] or body
    tabs = by_tabs(data)
    cells = [split_line(line, tabs) if line else [] for line in lines]
    asked = [reading.tokens_column, reading.tags_column]
    asked += [usual.tokens_column, usual.tags_column] if usual is not None else []
    first = split_line(data[0], tabs) if data else []
    header = (
        first
        if is_header(first, [name for name in asked if name and not name.isdecimal()])
        else None
    )
    # Most lines are right: the ones with another number of columns are the broken ones.
    widths = Counter(
        len(split_line(line, tabs)) for line in data if header is None or line != data[0]
    )
    width = widths.most_common(1)[0][0] if widths else 0
    names = column_names_of(lines, header, width)
    reading = with_usual(reading, usual, names, width)
    layout = find_layout(_sentences(lines, cells, width, header), names)
    chosen = chosen_layout(path, layout, names, reading, problems)
    if chosen is None:
        return []
    reader = _Reader(path, chosen, lines, cells, tabs, header, reading)
    rows = reader.read(problems, notices)
    if rows and (reading.tokens_column is None or reading.tags_column is None):
        notices += _what_was_read(path, chosen, len(names) > 0)
    if fault := _one_sentence(path, rows):
        notices.append(fault)
    fault = None if reading.tokens_column else _numbers_for_words(path, rows, chosen)
    if fault is not None:
        problems.append(fault)
        return []
    if rows and labelled and chosen.tags is None and chosen.width > 1:
        problems.append(
            f"{path}: none of its {chosen.width} columns holds tags such as O and B-person; name "
            f"the one that does with --tags-column (a number from 1 to {chosen.width})"
        )
        return []
    return rows


class _Reader:
    """One pass over the lines of a file whose columns are known."""

    def __init__(
        self,
        path: str,
        layout: Layout,
        lines: Sequence[str],
        cells: Sequence[list[str]],
        tabs: bool,
        header: list[str] | None,
        reading: ReadingOptions,
    ) -> None:
        self.path, self.layout, self.lines, self.cells = path, layout, lines, cells
        self.tabs, self.header = tabs, header
        self.names = (_key(reading.tokens_column, "tokens"), _key(reading.tags_column, "tags"))
        self.skipped: dict[str, list[int]] = {}
        self.rows: list[Row] = []
        self.sentence: list[tuple[int, list[str]]] = []
        blank = [not line for line in lines]
        filled = [number for number, is_blank in enumerate(blank) if not is_blank]
        # Without blank lines a comment, or a numbering that begins again, begins a sentence.
        self.unbroken = bool(filled) and not any(blank[filled[0] : filled[-1]])
        self.tags = self._tags_in_use()

    def read(self, problems: list[str], notices: list[str]) -> list[Row]:
        for number, (line, cells) in enumerate(zip(self.lines, self.cells, strict=True), 1):
            if not line or line.startswith(DOCSTART):
                self._end_sentence()
                if line:
                    self._skip(f"{DOCSTART} line(s)", number)
            elif self.header is not None and cells == self.header:
                self._skip("header line(s)", number)
            elif line.startswith(COMMENT) and self._is_comment(line, cells):
                if self.unbroken:
                    self._end_sentence()
                self._skip("comment line(s)", number)
            elif fault := self._fault(cells):
                self._end_sentence()
                problems.append(f"{self.path}:{number}: {fault} in {shown(line)}; correct it")
            elif self._is_several_words(cells):
                self._skip("line(s) that stand for several words or for none", number)
            else:
                if self._begins_again(cells):
                    self._end_sentence()
                self.sentence.append((number, cells))
        self._end_sentence()
        for what, numbers in self.skipped.items():
            first = "" if what.startswith(DOCSTART) else f", the first is line {numbers[0]}"
            notices.append(f"{self.path}: {len(numbers)} {what} skipped{first}")
        return self.rows

    def _skip(self, what: str, number: int) -> None:
        self.skipped.setdefault(what, []).append(number)

    def _end_sentence(self) -> None:
        if not self.sentence:
            return
        numbers = tuple(number for number, _ in self.sentence)
        together = numbers[-1] - numbers[0] == len(numbers) - 1
        values = {self.names[0]: [cells[self.layout.words] for _, cells in self.sentence]}
        if self.layout.tags is not None:
            values[self.names[1]] = [cells[self.layout.tags] for _, cells in self.sentence]
        first = numbers[0] if together else numbers
        self.rows.append(Row(values, f"{self.path}:{numbers[0]}", first))
        self.sentence = []

    def _tags_in_use(self) -> set[str]:
        place, width = self.layout.tags, self.layout.width
        if place is None:
            return set()
        lines = zip(self.lines, self.cells, strict=True)
        return {c[place] for line, c in lines if len(c) == width and not line.startswith(COMMENT)}

    def _is_comment(self, line: str, cells: Sequence[str]) -> bool:
        if len(cells) != self.layout.width or (not self.tabs and _SETTING.match(line)):
            return True
        place = self.layout.numbers
        if place is not None and not _NUMBERING.fullmatch(cells[place]):
            return True
        if self.layout.tags is None:
            return False
        tag = cells[self.layout.tags]
        return not is_tag_like(tag) and tag not in self.tags

    def _fault(self, cells: Sequence[str]) -> str | None:
        layout = self.layout
        if layout.width > 1 and not cells[min(layout.words, len(cells) - 1)]:
            return "a tag without a word"
        tag = None if layout.tags is None else cells[min(layout.tags, len(cells) - 1)]
        if layout.width > 1 and (len(cells) == 1 or tag == ""):
            return "a word without a tag"
        if len(cells) != layout.width:
            return f"{counted(len(cells), 'column')} where most lines have {layout.width}"
        return None

    def _is_several_words(self, cells: Sequence[str]) -> bool:
        place = self.layout.numbers
        return place is not None and _SEVERAL_WORDS.fullmatch(cells[place]) is not None

    def _begins_again(self, cells: Sequence[str]) -> bool:
        place = self.layout.numbers
        if place is None or not self.sentence or not self.unbroken:
            return False
        return int(cells[place]) <= 1 and int(self.sentence[-1][1][place]) >= int(cells[place])


def _key(given: str | None, usual: str) -> str:
    return usual if given is None else given


def _sentences(
    lines: Sequence[str], cells: Sequence[list[str]], width: int, header: list[str] | None
) -> list[list[list[str]]]:
    """Cells of the lines that have the file's columns, by sentence."""
    filled = (line for line in lines if line and not line.startswith(DOCSTART))
    whole = all(line.startswith(COMMENT) for line in filled)
    sentences: list[list[list[str]]] = [[]]
    for line, columns in zip(lines, cells, strict=True):
        if not line or line.startswith(DOCSTART):
            sentences.append([])
        elif len(columns) == width and columns != header and (whole or line[0] != COMMENT):
            sentences[-1].append(columns)
    return [sentence for sentence in sentences if sentence]


def _what_was_read(path: str, layout: Layout, named: bool) -> list[str]:
    """A notice where the words are not the first column or the tags not the only ones."""
    if layout.width < 2:
        return []
    obvious = layout.words == 0 and layout.tags in (layout.width - 1, None)
    if named or (obvious and len(layout.tag_columns) < 2):
        return []
    told = f"the words are column {layout.words + 1}"
    if layout.tags is not None:
        told += f" and the tags column {layout.tags + 1}"
    others = [str(place + 1) for place in layout.tag_columns if place != layout.tags]
    more = f"; tags are in column {' and '.join(others)}, too" if others else ""
    return [
        f"{path}: {told} of {layout.width}{more} (--tokens-column and --tags-column choose others "
        f"by their numbers)"
    ]


def _one_sentence(path: str, rows: Sequence[Row]) -> str | None:
    """A notice where a file is one sentence and holds the ends of several."""
    if len(rows) != 1:
        return None
    words = next(iter(rows[0].values.values()))
    ends = sum(word in _SENTENCE_ENDS for word in words[:-1])
    if ends < _MANY_ENDS and len(words) <= _LONG_SENTENCE:
        return None
    return (
        f"{path}: without a blank line, its {len(words):,} words are one sentence; if they are "
        "several, write a blank line after each"
    )


def _numbers_for_words(path: str, rows: Sequence[Row], layout: Layout) -> str | None:
    """What is wrong where all words are whole numbers, as in a column that counts them."""
    words = [word for row in rows for word in next(iter(row.values.values()))]
    # A file of two columns has no other words, so that it takes more to tell.
    enough = 3 if layout.width > 2 else 30
    if layout.width < 2 or len(words) < enough:
        return None
    if not all(word.isascii() and word.isdecimal() for word in words):
        return None
    return (
        f"{path}: the words, in column {layout.words + 1} of {layout.width}, are all numbers "
        f"(the first is {shown(words[0])}), as if they counted something; name the column of the "
        f"words with --tokens-column (a number from 1 to {layout.width})"
    )
