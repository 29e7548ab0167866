"""The right texts of a row: a cell holds one or a list of several, another column may hold more.

The first right text is learned; scores compare with all of them.
"""

import json
from collections.abc import Sequence

from lowcost_ft.data.known_names import LIST_NAMES
from lowcost_ft.data.rows import (
    Row,
    column_names,
    find_column,
    shown,
    text_fault,
)

__all__ = ["find_references", "other_texts", "text_list", "texts_in_json"]


def text_list(
    row: Row, column: str, problems: list[str], *, several: bool | None = None
) -> list[str]:
    """The texts in a cell that holds one text or a list of several.

    Args:
        row: The row.
        column: The column of the cell.
        problems: Gets a line where the cell holds anything else; no texts are returned then.
        several: Whether the column is for several texts, so that a cell of CSV may hold them as
            JSON; None: its name tells.
    """
    value = row.values.get(column)
    several = column.lower() in LIST_NAMES if several is None else several
    if several and isinstance(value, str):
        value = texts_in_json(value) or value
    texts = value if isinstance(value, list) else [value]
    if not texts:
        problems.append(f"{row.source}: {shown(column)} is an empty list; give at least one text")
    for text in texts:
        if fault := text_fault(text):
            problems.append(f"{row.source}: {shown(column)} {fault}")
            return []
    return [str(text) for text in texts]


def other_texts(row: Row, column: str | None, problems: list[str]) -> list[str]:
    """The texts of a row in the column of references, if there is one; the row may lack them."""
    if column is None or row.values.get(column) in (None, ""):
        return []
    return text_list(row, column, problems, several=True)


def find_references(
    rows: Sequence[Row], given: str | None, usual: Sequence[str], problems: list[str]
) -> str | None:
    """The column that holds all right texts of a row; None without one.

    Args:
        rows: Rows of one file.
        given: The column that the user named; a problem is noted where it is missing.
        usual: Names that the column may have otherwise, the most usual one first.
        problems: Gets a line for each problem.
    """
    if given is not None:
        return find_column(rows, given, (), "references", problems=problems, notices=[])
    names = column_names(rows)
    return next((name for name in usual if name in names), None)


def texts_in_json(cell: str) -> list[str] | None:
    """A list of texts that a cell of a table holds as JSON; None for any other text."""
    if not cell.lstrip().startswith('["'):
        return None
    try:
        found = json.loads(cell)
    except ValueError:
        return None
    return found if found and all(isinstance(text, str) for text in found) else None
