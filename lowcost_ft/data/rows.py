"""A row of input, and how a column of it is found and read."""

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["LINE_BREAK", "Row", "column_names", "counted", "file_of", "find_column", "listed"]
__all__ += [
    "plain_name",
    "plain_text",
    "read_id",
    "read_text",
    "same_column",
    "shown",
    "surrogate_fault",
]
__all__ += ["blank_notice", "blank_rows", "on_one_line", "text_fault", "told_apart"]
__all__ += ["without_blank_notices"]

LINE_BREAK = re.compile(r"\r\n|\r|\n")
"""Where a line ends: str.splitlines would also split at U+2028 and others that occur in texts."""

_SHOWN_CHARACTERS = 60
_SHOWN_NAMES = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One row, and where it stands.

    Attributes:
        values: Column -> value.
        source: Path as the user typed it and 1-based line, "train.jsonl:12"; where there are no
            lines, the row, "train.parquet:row 12".
        first_line: Line of the first word, for files with one word a line; the line of each word
            where other lines stand between them.
        is_line: Whether it is a line of a file of texts, which may be blank.
        classless: Column -> number, such as -1, where a column that names its classes holds the
            number of none; the value is None. None where no column does.
    """

    values: dict[str, Any]
    source: str
    first_line: int | tuple[int, ...] | None = None
    is_line: bool = False
    classless: Mapping[str, int] | None = None


def counted(number: int, what: str) -> str:
    """`1 row`, `2 rows`: a number with its noun."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shown(value: Any) -> str:
    """A value of the user's, cut short, on one line and in double quotes, for a message."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) > _SHOWN_CHARACTERS:
        text = text[: _SHOWN_CHARACTERS - 3] + "..."
    # A lone surrogate could not be printed.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return json.dumps(text, ensure_ascii=False)


def on_one_line(name: str) -> str:
    """A label whose tabs, line ends and control characters are written as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def listed(names: Sequence[str]) -> str:
    """Names for a message, as many as one can read."""
    more = len(names) - _SHOWN_NAMES
    text = ", ".join(map(shown, names[:_SHOWN_NAMES]))
    return f"{text} and {more:,} more" if more > 0 else text


def file_of(source: str) -> str:
    """The file (or data set and split) of a row's source."""
    return source.rpartition(":")[0]


def told_apart(rows: list[Row]) -> list[Row]:
    """The same rows, by number where one line holds several: no two have one source."""
    if len({row.source for row in rows}) == len(rows):
        return rows
    return [replace(row, source=f"{file_of(row.source)}:row {n}") for n, row in enumerate(rows, 1)]


def column_names(rows: Sequence[Row]) -> list[str]:
    """All columns that occur, in the order of their first row."""
    return list(dict.fromkeys(name for row in rows for name in row.values))


def plain_name(name: str) -> str:
    """A column's name without what people write differently: case, blanks and underscores."""
    return name.strip("\ufeff_ \t\u00a0").casefold()


def same_column(names: Sequence[str], wanted: str) -> str | None:
    """The one column that is called `wanted` but for case, blanks and underscores around it."""
    if wanted in names:
        return wanted
    alike = [name for name in names if plain_name(name) == plain_name(wanted)]
    return alike[0] if len(alike) == 1 else None


def plain_text(text: str) -> str:
    """A text without what spellings of it may differ in: case, white space, composed letters."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def find_column(
    rows: Sequence[Row],
    given: str | None,
    guesses: Sequence[str],
    what: str,
    *,
    problems: list[str],
    notices: list[str],
) -> str | None:
    """The column to read: the one the user named, else the first guess that exists.

    A name that differs in case, or by blanks and underscores around it, is taken where one column
    has it. A number that is not a name counts the columns from 1.

    Args:
        rows: All rows of one split, at least one.
        given: Name or number from the command line.
        guesses: Names to try, the usual one first; empty where nothing may be guessed.
        what: Such as "text_pair": names the flag, `--text-pair-column`.
        problems: Gets a line when there is no such column.
        notices: Gets a line when another than the usual name was guessed.
    """
    names = column_names(rows)
    file, flag = file_of(rows[0].source), f"--{what.replace('_', '-')}-column"
    if given in names:
        return given
    columns = listed(names) or "no columns at all"
    if given is not None:
        if (alike := same_column(names, given)) is not None:
            notices.append(f"{file}: column {shown(alike)} read for {flag} {given}")
            return alike
        if given.isascii() and given.isdecimal() and 1 <= int(given[:9]) <= len(names):
            counted_to = names[int(given) - 1]
            notices.append(f"{file}: column {shown(counted_to)} read for {flag} {given}")
            return counted_to
        problems.append(f"{file}: no column {shown(given)} ({flag}); the columns are {columns}")
        return None
    for guess in guesses:
        if guess in names:
            if guess != guesses[0]:
                notices.append(f"{file}: column {shown(guess)} read as {what} ({flag} overrides)")
            return guess
    for guess in guesses:
        if (alike := same_column(names, guess)) is not None:
            notices.append(f"{file}: column {shown(alike)} read as {what} ({flag} overrides)")
            return alike
    header = f" (is the header line there? Without one, give the column's number: {flag} 1)"
    header *= file.lower().endswith((".csv", ".tsv", ".txt"))
    problems.append(
        f"{file}: no column for the {what.replace('_', ' ')}; name it with {flag}; "
        f"the columns are {columns}{header}"
    )
    return None


def text_fault(value: Any) -> str | None:
    """What keeps a value from being a text, and how to mend it; None for a text."""
    if value is None:
        return "is missing; fill it in or delete the row"
    if isinstance(value, bool | int | float):
        return f"is the number {shown(value)} where a text is expected; write it in quotes"
    if not isinstance(value, str):
        return f"must be a text, not {shown(value)}"
    if not value.strip():
        return "is an empty text; fill it in or delete the row"
    return surrogate_fault(value)


def blank_rows(rows: Sequence[Row], column: str) -> list[bool]:
    """Which rows have a column and nothing in it; none of them if there is no text in any row."""
    found = [
        column in row.values
        and (
            row.values[column] in (None, [])
            or (isinstance(row.values[column], str) and not row.values[column].strip())
        )
        for row in rows
    ]
    return [False] * len(rows) if all(found) else found


def blank_notice(rows: Sequence[Row], blank: Sequence[bool]) -> list[str]:
    """A notice about rows to predict in which there is no text; none without such rows."""
    sources = [row.source for row, is_blank in zip(rows, blank, strict=True) if is_blank]
    if not sources:
        return []
    return [
        f"{file_of(sources[0])}: {counted(len(sources), 'row')} without a text, {_ANSWERED}, first "
        f"at {sources[0]}"
    ]


_ANSWERED = "answered with an empty answer"


def without_blank_notices(notices: Sequence[str]) -> list[str]:
    """Notices but those of `blank_notice`, for who leaves out what it tells of."""
    return [notice for notice in notices if _ANSWERED not in notice]


def surrogate_fault(value: str) -> str | None:
    """What keeps a text or a name from being written as UTF-8; None if nothing does."""
    try:
        value.encode()
    except UnicodeEncodeError:
        # Possible as an escape in JSON; no tokenizer takes it, and no terminal prints it.
        return "holds half a surrogate pair; correct the \\ud800-like escape"
    return None


def read_text(row: Row, column: str, problems: list[str]) -> str | None:
    """The text in a column, or None and a problem where there is none."""
    value = row.values.get(column)
    if fault := text_fault(value):
        problems.append(f"{row.source}: {shown(column)} {fault}")
        return None
    return str(value)


def read_id(row: Row, used: Sequence[str]) -> str | int | float | None:
    """What a row calls itself: its column "id", unless that is `used` for something else."""
    value = row.values.get("id")
    if value is None or "id" in used:
        return None
    if type(value) in (int, str) or (isinstance(value, float) and math.isfinite(value)):
        return value if not isinstance(value, str) or not surrogate_fault(value) else shown(value)
    return shown(value)
