"""Classes of rows that may lack them, read as in training: what `convert` writes."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.known_names import LABEL_NAMES
from lowcost_ft.data.rows import Row, column_names, counted, file_of, find_column, same_column
from lowcost_ft.tasks.classification.examples import (
    Label,
    TextExample,
    find_label_columns,
    is_missing,
    read_flags,
    read_label,
)
from lowcost_ft.tasks.classification.label_cells import read_cells
from lowcost_ft.tasks.classification.label_doubts import label_doubts
from lowcost_ft.tasks.classification.labels import LABEL_SEPARATOR, MULTI_LABEL

__all__ = ["class_columns", "read_classes"]


def class_columns(
    rows: Sequence[Row],
    reading: ReadingOptions,
    taken: Sequence[str],
    *,
    may_be_flags: bool,
    problems: list[str],
    notices: list[str],
) -> list[str]:
    """The column of the classes, or those of 0 and 1, one a class; none where there is none.

    Args:
        rows: The rows of one file.
        reading: How they are read.
        taken: Columns that are something else.
        may_be_flags: Whether columns of 0 and 1 can be classes without being named as such.
        problems: Gets a line for a column that is not there.
        notices: Gets a line for guesses.
    """
    lists: dict[str, Any] = {"problems": problems, "notices": notices}
    if (may_be_flags or reading.label_columns is not None) and (
        columns := find_label_columns(rows, reading, taken, **lists)
    ) is not None:
        return columns
    guesses = [name for name in LABEL_NAMES if name not in taken]
    names = [name for name in column_names(rows) if name not in taken]
    if reading.label_column is None and not any(same_column(names, name) for name in guesses):
        return []
    found = find_column(rows, reading.label_column, guesses, "label", **lists)
    return [] if found is None or found in taken else [found]


def read_classes(
    rows: Sequence[Row],
    columns: Sequence[str],
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
) -> dict[str, Any]:
    """The classes of each row by its source; rows that `--exclude-label` leaves out are missing.

    Args:
        rows: The rows of one file.
        columns: What `class_columns` gave.
        reading: How labels are written.
        problems: Gets a line for each label that cannot be read, or could mean two things.
        notices: Gets a line for what was converted, and for rows without a class.
    """
    examples, without = [], []
    kept = reading.exclude_label is None or reading.exclude_label.strip()
    for row in rows:
        label: Label | None
        is_class = columns[0] in (row.classless or {}) or not is_missing(row.values.get(columns[0]))
        if len(columns) > 1:
            label = read_flags(row, columns, problems)
        elif kept and not is_class:
            without.append(row.source)
            continue
        else:
            label = read_label(row, columns[0], problems, excluded=reading.exclude_label)
        examples.append(TextExample(text="", label=label, source=row.source))
    if problems:
        return {}
    read, _ = read_cells({"": examples}, reading, problems=problems, notices=notices)
    found = read[""]
    written = reading.decimal_comma or reading.label_separator is not None
    if not problems and not written and reading.problem_type in (None, MULTI_LABEL):
        problems += label_doubts(found, multi_label=reading.problem_type is not None)
    if without:
        notices.append(
            f"{file_of(rows[0].source)}: {counted(len(without), 'row')} without a label written "
            f"without one, first {without[0]}"
        )
    is_multi = reading.problem_type == MULTI_LABEL
    return {e.source: _plain(e.label, is_multi) for e in found} | dict.fromkeys(without)


def _plain(label: Label | None, is_multi: bool) -> Any:
    if isinstance(label, tuple):
        return [*label]
    if is_multi and isinstance(label, str):
        return [part.strip() for part in label.split(LABEL_SEPARATOR)]
    return label
