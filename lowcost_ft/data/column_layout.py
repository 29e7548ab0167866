"""Which column of a file with one word a line is what: words, tags, numbers of words, fillers."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lowcost_ft.data.known_names import TAG_NAMES, WORD_NAMES
from lowcost_ft.data.rows import plain_name, same_column

__all__ = ["COMMENT", "DOCSTART", "Layout", "by_tabs", "find_layout", "is_header", "is_tag_like"]
__all__ += ["split_line"]

COMMENT, DOCSTART = "#", "-DOCSTART-"

_OTHER_NAMES = (
    *("id", "index", "pos", "xpos", "upos", "chunk", "lemma", "sentence", "sent_id"),
    *("sentence_id", "sentence #", "text"),
)

_TAG = re.compile(r"[Oo]|[BIESLUMWbieslumw][-_:].+", re.DOTALL)
_NUMBER = re.compile(r"(\d{1,9})([-.]\d{1,9})?", re.ASCII)
_FILLERS = frozenset({"_", "-", "--", "-X-", "*", ""})


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the columns are; places count from 0.

    Attributes:
        width: How many columns there are.
        words: Place of the words.
        tags: Place of the tags; None where no column holds any.
        tag_columns: Places of all columns that hold tags.
        numbers: Place of a column that numbers the words of each sentence, if there is one.
        leading: How many columns before the words only number them, or their sentences.
    """

    width: int
    words: int
    tags: int | None
    tag_columns: tuple[int, ...] = ()
    numbers: int | None = None
    leading: int = 0


def is_tag_like(cell: str) -> bool:
    """Whether a cell is a tag in one of the spellings that files use."""
    return _TAG.fullmatch(cell) is not None


def by_tabs(lines: Sequence[str]) -> bool:
    """Whether tabs separate the columns of these lines, and not blanks: what most of them have.

    A first line without tabs decides as long as blanks cut every line into the same columns.
    """
    with_tabs = sum("\t" in line for line in lines)
    if not lines or with_tabs * 2 < len(lines):
        return False
    if "\t" in lines[0]:
        return True
    return len({len(split_line(line, False)) for line in lines}) > 1 or any(
        line.startswith(" ") for line in lines
    )


def split_line(line: str, tabs: bool) -> list[str]:
    """The cells of a line that is not blank."""
    if tabs:
        return [field.strip(" ") for field in line.split("\t")]
    # A leading space leaves an empty first field: a tag without its word.
    return re.split("[ \t]+", line.rstrip(" \t"))


def is_header(cells: Sequence[str], asked: Sequence[str] = ()) -> bool:
    """Whether cells are names of columns.

    Args:
        cells: Of the first line.
        asked: Names of columns that the user asked for: any of them tells. Without these, names of
            the words' and of the tags' column do, and all others must be usual ones.
    """
    if any(same_column(cells, name) is not None for name in asked):
        return True
    names = [plain_name(cell) for cell in cells]
    known = {*WORD_NAMES, *TAG_NAMES, *_OTHER_NAMES}
    return (
        any(name in WORD_NAMES for name in names)
        and any(name in TAG_NAMES for name in names)
        and all(name in known for name in names)
    )


def find_layout(sentences: Sequence[Sequence[Sequence[str]]], names: Sequence[str] = ()) -> Layout:
    """What the columns are, by their cells.

    The words stand in the first column that is not a numbering, the tags in the last one whose
    cells are tags. Where words are numbered and all columns behind them hold tags, these are layers
    of nested entities, of which the first is the outer one.

    Args:
        sentences: Cells of each line of each sentence, all lines of the same width.
        names: Names of the columns, where the file gives them.
    """
    lines = [cells for sentence in sentences for cells in sentence]
    width = len(lines[0]) if lines else 0
    if width < 2:
        return Layout(width=width, words=0, tags=None)
    tagged = tuple(place for place in range(width) if _holds_tags([c[place] for c in lines]))
    if tagged == (0,) and width == 2:  # the tag stands first
        return Layout(width=width, words=1, tags=0, tag_columns=tagged)
    tagged = tuple(place for place in tagged if place > 0)
    leading, numbers = _leading(sentences, width, tagged)
    words = leading
    for name in WORD_NAMES:
        if (found := same_column(names, name)) is not None:
            words = list(names).index(found)
            break
    tagged = tuple(place for place in tagged if place != words)
    tags: int | None = tagged[-1] if tagged else _bare_tags(lines, words)
    if numbers is not None and len(tagged) > 1 and tagged == tuple(range(words + 1, width)):
        tags = tagged[0]
    for name in TAG_NAMES:
        found = same_column(names, name)
        if found is not None and (place := list(names).index(found)) in (*tagged, width - 1):
            tags = place
            break
    return Layout(
        width=width,
        words=words,
        tags=None if tags == words else tags,
        tag_columns=tagged,
        numbers=numbers,
        leading=leading,
    )


def _holds_tags(cells: Sequence[str]) -> bool:
    return sum(map(is_tag_like, cells)) * 2 > len(cells)


def _bare_tags(lines: Sequence[Sequence[str]], words: int) -> int | None:
    """The last column, unless it only fills a place: types without prefixes, or mistakes.

    Where it does, a column with `O` among its cells.
    """
    last = len(lines[0]) - 1
    for place in range(last, words, -1):
        cells = [cells[place] for cells in lines]
        fills = sum(cell in _FILLERS or "=" in cell for cell in cells) * 2 > len(cells)
        if (place == last and not fills) or any(cell in ("O", "o") for cell in cells):
            return place
    return None


def _leading(
    sentences: Sequence[Sequence[Sequence[str]]], width: int, tagged: Sequence[int]
) -> tuple[int, int | None]:
    """How many columns before the words number them, and which of them counts each sentence's."""
    leading, numbers = 0, None
    for place in range(width - 1):
        columns = [[cells[place] for cells in sentence] for sentence in sentences]
        if place in tagged:
            break
        if _counts_words(columns):
            leading, numbers = place + 1, place
        elif _counts_sentences(columns):
            leading = place + 1
        elif len({cell for column in columns for cell in column}) > 1:
            break
        # A column of one value, the name of a document, say, counts only before a numbering.
    # In a file of two columns the other one would have to hold the words.
    return (0, None) if leading in tagged or leading >= width else (leading, numbers)


def _counts_words(columns: Sequence[Sequence[str]]) -> bool:
    """Whether numbers rise by one, from 0 or 1 in each sentence or through the whole file."""
    previous: int | None = None
    steps = restarts = 0
    for column in columns:
        for position, cell in enumerate(column):
            match = _NUMBER.fullmatch(cell)
            if match is None:
                return False
            if match[2]:  # several words in one token, or a word that is only understood
                continue
            number = int(match[1])
            if previous is not None and number == previous + 1:
                steps += 1
            elif previous is not None and number > 1:
                return False
            else:
                restarts += position > 0
            previous = number
    # Restarts tell the sentences of a file without blank lines.
    return steps > 0 and (restarts <= steps if len(columns) == 1 else restarts == 0)


def _counts_sentences(columns: Sequence[Sequence[str]]) -> bool:
    numbers = []
    for column in columns:
        if len(set(column)) != 1 or not (column[0].isascii() and column[0].isdecimal()):
            return False
        numbers.append(int(column[0][:18]))
    rising = all(after > before for before, after in pairwise(numbers))
    return len(numbers) > 1 and rising and max(Counter(map(len, columns))) > 1
