"""Rows -> text classification examples: one text or a pair; one label, several, or a number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.known_names import LABEL_NAMES, TEXT_NAMES
from lowcost_ft.data.rows import (
    Row,
    blank_notice,
    blank_rows,
    column_names,
    counted,
    file_of,
    find_column,
    listed,
    read_id,
    read_text,
    same_column,
    shown,
    surrogate_fault,
)

__all__ = ["Label", "Scalar", "TextExample", "find_label_columns", "find_texts", "label_name"]
__all__ += ["is_missing", "names_text_pairs", "read_examples", "read_flags", "read_label"]

Scalar = str | int | float
Label = Scalar | tuple[Scalar, ...]

_PAIRS = (
    *(("text", "text_pair"), ("sentence1", "sentence2"), ("premise", "hypothesis")),
    *(("question1", "question2"), ("text1", "text2"), ("question", "sentence")),
    *(("question", "passage"), ("query", "passage")),
)
_FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
"""What a column of a label may hold, whichever way it is spelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextExample:
    """One text, or pair of texts.

    Attributes:
        text: The text.
        text_pair: The second text of a pair.
        label: After `text_labels.finish` a str, a sorted tuple of str (multi-label) or a float
            (regression), before it what the input has; None without labels.
        source: File and line.
        row_id: What the row's column "id" holds, to be told beside the prediction.
    """

    text: str
    text_pair: str | None = None
    label: Label | None
    source: str
    row_id: str | int | float | None = None


def read_examples(
    rows: Sequence[Row],
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
    labelled: bool = True,
) -> list[TextExample]:
    """Reads one split's rows.

    Args:
        rows: Rows of one file or split.
        reading: How the rows are read; what is not given is guessed.
        problems: Gets a line for each problem.
        notices: Gets a line for guessed columns.
        labelled: Whether to read labels; if not, `label` is None.

    Returns:
        The examples without problems, their labels as the input has them.
    """
    if not rows:
        return []
    before = len(problems)
    text_column, pair_column = find_texts(rows, reading, problems, notices)
    label_column, label_columns = None, None
    if labelled:
        taken = [name for name in (text_column, pair_column) if name is not None]
        label_columns = find_label_columns(rows, reading, taken, problems, notices)
    if labelled and label_columns is None:
        guesses = [name for name in LABEL_NAMES if name not in (text_column, pair_column)]
        label_column = find_column(
            rows, reading.label_column, guesses, "label", problems=problems, notices=notices
        )
    used = [name for name in (text_column, pair_column, label_column) if name is not None]
    used += label_columns or []
    if len(set(used)) < len(used):
        listed = ", ".join(map(shown, used))
        problems.append(f"{file_of(rows[0].source)}: one column is used twice: {listed}")
    if text_column is None or len(problems) > before:
        return []
    examples = []
    rows = _without_headers(rows, used, notices)
    single = not labelled and pair_column is None
    blank = blank_rows(rows, text_column) if single else [False] * len(rows)
    notices += blank_notice(rows, blank)
    for row, is_blank in zip(rows, blank, strict=True):
        before = len(problems)
        text = row.values[text_column] or "" if is_blank else read_text(row, text_column, problems)
        pair = None if pair_column is None else read_text(row, pair_column, problems)
        label: Label | None = None
        if label_columns is not None:
            label = read_flags(row, label_columns, problems)
        elif label_column is not None:
            label = read_label(row, label_column, problems, excluded=reading.exclude_label)
        if text is not None and len(problems) == before:
            examples.append(
                TextExample(
                    text=text,
                    text_pair=pair,
                    label=label,
                    source=row.source,
                    row_id=read_id(row, used),
                )
            )
    return examples


def names_text_pairs(rows: Sequence[Row], reading: ReadingOptions) -> bool:
    """Whether `find_texts` finds a second text."""
    if reading.text_pair_column is not None:
        return True
    return bool(rows) and find_texts(rows, reading, [], [])[1] is not None


def find_texts(
    rows: Sequence[Row], reading: ReadingOptions, problems: list[str], notices: list[str]
) -> tuple[str | None, str | None]:
    """The column of the texts, and that of the second texts where rows are pairs."""
    found: dict[str, Any] = {"problems": problems, "notices": notices}
    names = column_names(rows)
    if reading.text_column is None and reading.text_pair_column is None:
        for pair in _PAIRS:
            first, second = _as_written(names, pair)
            if first in names and second in names and reading.label_column not in (first, second):
                notices.append(
                    f"{file_of(rows[0].source)}: pairs of texts, {shown(first)} and "
                    f"{shown(second)} (--text-column alone reads one text)"
                )
                return first, second
    taken = (reading.text_pair_column, reading.label_column)
    guesses = [name for name in TEXT_NAMES if name not in taken]
    if reading.text_pair_column is not None:
        guesses = [
            first for first, second in _PAIRS if second == reading.text_pair_column
        ] + guesses
    text_column = find_column(rows, reading.text_column, guesses, "text", **found)
    if reading.text_pair_column is None:
        return text_column, None
    return text_column, find_column(rows, reading.text_pair_column, (), "text_pair", **found)


def _as_written(names: Sequence[str], pair: tuple[str, str]) -> tuple[str, str]:
    """A pair's columns in the file's spelling, unless the file has a text in the usual one."""
    if any(name in names for name in TEXT_NAMES):
        return pair
    first, second = (same_column(names, name) for name in pair)
    return pair if first is None or second is None else (first, second)


def find_label_columns(
    rows: Sequence[Row],
    reading: ReadingOptions,
    taken: Sequence[str],
    problems: list[str],
    notices: list[str],
) -> list[str] | None:
    """The columns of 0 and 1, one a label; None where the labels stand in one column."""
    names, file = column_names(rows), file_of(rows[0].source)
    if reading.label_columns is not None:
        given = [name.strip() for name in reading.label_columns.split(",") if name.strip()]
        if missing := [name for name in given if name not in names]:
            problems.append(
                f"{file}: no column {listed(missing)} (--label-columns); the columns are "
                f"{listed(names)}"
            )
        elif len(set(given)) < 2:
            problems.append(
                f"{file}: --label-columns names {counted(len(set(given)), 'column')}; give two or "
                f"more, separated by commas (--label-column names a single one)"
            )
        return given
    others = [name.strip().lower() for name in names if name not in taken]
    if reading.label_column is not None or any(name in LABEL_NAMES for name in others):
        return None
    found = [
        name
        for name in names
        if name not in (*taken, "id")
        and all(_flag(row.values.get(name)) is not None for row in rows)
    ]
    if len(found) < 2:
        return None
    notices.append(
        f"{file}: no column of labels, but {len(found)} columns of 0 and 1, read as one label "
        f"each: {listed(found)} (--label-columns overrides)"
    )
    return found


def _flag(value: Any) -> bool | None:
    return _FLAGS.get(str(value).strip().lower())


def read_flags(row: Row, columns: Sequence[str], problems: list[str]) -> tuple[str, ...]:
    """The columns of 0 and 1 in which a row has 1."""
    chosen = []
    for name in columns:
        flag = _flag(row.values.get(name))
        if flag is None:
            problems.append(
                f"{row.source}: {shown(name)} is {shown(row.values.get(name))}; a column of "
                f"--label-columns holds 1 where the label applies and 0 where it does not"
            )
        elif flag:
            chosen.append(name.strip())
    return tuple(chosen)


def _without_headers(rows: Sequence[Row], used: Sequence[str], notices: list[str]) -> Sequence[Row]:
    """Leaves out rows that repeat the header, as files that were put together have them."""
    if len(used) < 2:  # A text alone may be the word "text".
        return rows
    repeated = [row for row in rows if all(row.values.get(name) == name for name in used)]
    if not repeated or len(repeated) == len(rows):
        return rows
    notices.append(
        f"{repeated[0].source}: the header is repeated; {counted(len(repeated), 'such row')} left "
        f"out"
    )
    sources = {row.source for row in repeated}
    return [row for row in rows if row.source not in sources]


def read_label(row: Row, column: str, problems: list[str], *, excluded: str | None) -> Label | None:
    """What a cell gives as the label; None and a problem where it gives none."""
    value = row.values.get(column)
    where = f"{row.source}: {shown(column)}"
    if (number := (row.classless or {}).get(column)) is not None:
        if excluded is None or excluded.strip() != str(number):
            problems.append(
                f"{where} is {number}, which is the number of no class; give every row a label, or "
                f"leave such rows out with --exclude-label={number}"
            )
        return number
    if is_missing(value):
        if excluded is None or excluded.strip():
            problems.append(
                f"{where} is missing; give every row a label, or leave those without one out "
                f"(--exclude-label=)"
            )
        return None
    if not isinstance(value, list | tuple):
        return _read_scalar(value, where, problems)
    names = [_read_scalar(item, f"{where}, item {i}", problems) for i, item in enumerate(value, 1)]
    return tuple(name for name in names if name is not None)


def is_missing(value: Any) -> bool:
    """Whether a cell of labels has nothing in it."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def _read_scalar(value: Any, where: str, problems: list[str]) -> str | int | float | None:
    if is_missing(value):
        problems.append(f"{where} is missing; give every row a label")
    elif isinstance(value, float) and not math.isfinite(value):
        problems.append(f"{where} is {value}; give every row a label")
    elif isinstance(value, bool):
        return str(value).lower()
    elif isinstance(value, int | float):
        return value
    elif isinstance(value, str):
        if fault := surrogate_fault(value):
            problems.append(f"{where} {fault}")
        return value.strip()
    else:
        problems.append(
            f"{where} is {shown(value)}; a label is a text, a number or a list of texts"
        )
    return None


def label_name(label: str | int | float) -> str:
    """The name of a class; a number is written as a person would."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))  # a table's column of whole numbers with gaps comes as floats
    return str(label)
