"""One JSON object that holds a whole table, in the layouts that pandas writes."""

from collections.abc import Mapping
from typing import Any

from lowcost_ft.data.known_names import TEXT_NAMES
from lowcost_ft.data.rows import Row, counted

__all__ = ["table_rows"]

_ROWS = ("data", "rows", "examples", "records")


def table_rows(
    path: str, whole: Any, problems: list[str], notices: list[str] | None
) -> list[Row] | None:
    """Rows of a table that one JSON value holds, or None where it does not hold one.

    The layouts are those of `DataFrame.to_json(orient=...)`: "columns" (its default, column by
    column), "index" (row by row, under the row's number), "split" and "table", and of
    `to_dict("list")`. A list of rows may also be the one value of an object: {"data": [...]}. Where
    column names and row numbers cannot be told apart, it is a problem.

    Args:
        path: For the messages.
        whole: The value of the whole file.
        problems: Gets a line for a layout that could be two.
        notices: Gets a line that says how the table was read; None: that is not wanted.

    Returns:
        The rows, their sources by number: "a.json:row 1".
    """
    if not isinstance(whole, dict) or not whole:
        return None
    if (rows := _wrapped(path, whole)) is not None:
        return rows
    if (name := _name_of_rows(whole)) is not None:
        if notices is not None:
            notices.append(f'{path}: read as the {counted(len(whole[name]), "row")} under "{name}"')
        return [Row(dict(row), f"{path}:row {n}") for n, row in enumerate(whole[name], 1)]
    found = _split(whole) or _schema(whole) or _lists(whole) or _nested(whole)
    if found is None:
        return None
    how, records = found
    if how == "ambiguous":
        problems.append(
            f"{path}: one JSON object of objects whose keys are numbers inside and outside, so "
            f"that columns and rows cannot be told apart; write the table with "
            f'to_json(orient="records", lines=True)'
        )
        return []
    if notices is not None:
        notices.append(
            f"{path}: read as one table of {counted(len(records), 'row')}, as pandas writes it "
            f'with orient="{how}"'
        )
    return [Row(values, f"{path}:row {number}") for number, values in enumerate(records, 1)]


def _wrapped(path: str, whole: Mapping[str, Any]) -> list[Row] | None:
    """Rows of an object around them: of an annotator for spaCy's lists of two, or one task."""
    annotations = whole.get("annotations", whole.get("completions"))
    if not isinstance(annotations, list):
        return None
    if isinstance(whole.get("data"), dict):  # Label Studio writes a task into each file.
        return [Row(dict(whole), f"{path}:row 1")]
    pairs = [(number, pair) for number, pair in enumerate(annotations, 1) if pair is not None]
    if not pairs or not all(
        isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], dict)
        for _, pair in pairs
    ):
        return None
    return [Row({"text": pair[0], **pair[1]}, f"{path}:row {number}") for number, pair in pairs]


def _split(whole: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]] | None:
    names, data = whole.get("columns"), whole.get("data")
    if not set(whole) <= {"columns", "index", "data"} or not isinstance(names, list):
        return None
    if not isinstance(data, list) or len(set(map(str, names))) < len(names):
        return None
    if not all(isinstance(cells, list) and len(cells) == len(names) for cells in data):
        return None
    return "split", [dict(zip(map(str, names), cells, strict=True)) for cells in data]


def _schema(whole: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]] | None:
    data = whole.get("data")
    if set(whole) != {"schema", "data"} or not isinstance(whole["schema"], dict):
        return None
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        return None
    return "table", [dict(row) for row in data]


def _name_of_rows(whole: Mapping[str, Any]) -> str | None:
    """The one key of an object around a list of rows, under a name that no row has."""
    if len(whole) != 1:
        return None
    ((name, rows),) = whole.items()
    is_rows = isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)
    return name if is_rows and name in _ROWS else None


def _lists(whole: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]] | None:
    """A list a column, told from one row whose words and tags are lists: a text is none."""
    if not all(isinstance(value, list) for value in whole.values()):
        return None
    lengths = {len(value) for value in whole.values()}
    texts = [whole[name] for name in TEXT_NAMES if name in whole]
    if len(lengths) != 1 or 0 in lengths or not texts:
        return None
    if not all(isinstance(text, str) for column in texts for text in column):
        return None
    return "list", [
        dict(zip(whole, cells, strict=True)) for cells in zip(*whole.values(), strict=True)
    ]


def _nested(whole: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]] | None:
    inner = list(whole.values())
    if not all(isinstance(value, dict) and value for value in inner):
        return None
    keys = list(inner[0])
    if any(list(value) != keys for value in inner):
        return None
    by_column, by_row = _are_numbers(keys), _are_numbers(whole)
    if by_column and by_row:
        return "ambiguous", []
    if by_column:
        return "columns", [{name: whole[name][key] for name in whole} for key in keys]
    return ("index", [dict(value) for value in inner]) if by_row else None


def _are_numbers(keys: Any) -> bool:
    return all(key.isascii() and key.isdecimal() for key in keys)
