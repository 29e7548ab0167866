"""Arguments of callers from Python: lists where lists are wanted, paths where paths are wanted.

A string is a sequence of characters, a mapping is a sequence of its keys, and an iterator can be
read only once. Taken for a list of texts, each of them would give a wrong answer without an error.
"""

import math
import os
from collections.abc import Iterable, Mapping, Set
from typing import Any

from lowcost_ft.errors import UserError

__all__ = ["is_missing", "path_problem", "to_list", "to_path"]

_CONVERTERS = ("tolist", "to_list", "to_pylist")
"""How NumPy and pandas, polars and pyarrow give their values as Python has them."""


def to_list(values: Any, name: str, *, of: str) -> list[Any]:
    """The values of a list, tuple, iterator, array or column, in their order.

    Args:
        values: What the caller gave.
        name: The argument, for the message: "texts".
        of: What it holds, for the message: "texts".

    Raises:
        UserError: It is one value (a text, a number, None), or has no order (a set), or several
            columns (a mapping, a table).
    """
    if isinstance(values, list):
        return values
    if isinstance(values, str | bytes | bytearray):
        raise UserError(
            f"{name} is one {'text' if isinstance(values, str) else type(values).__name__}, not a "
            f"list of {of}: put it into a list, [{name}]"
        )
    if isinstance(values, Mapping) or hasattr(values, "columns"):
        raise UserError(
            f"{name} is a {type(values).__name__} with named columns: give one column, as a list "
            f"of {of}"
        )
    if isinstance(values, Set):
        raise UserError(f"{name} is a set, which has no order: give a list of {of}")
    if len(getattr(values, "shape", (0,))) != 1 or not isinstance(values, Iterable):
        found = type(values).__name__
        if shape := getattr(values, "shape", ()):
            found = f"{found} of shape {tuple(shape)}"
        raise UserError(f"{name} must be a list of {of}, not {found}")
    for converter in _CONVERTERS:
        if callable(convert := getattr(values, converter, None)):
            converted = convert()
            return converted if isinstance(converted, list) else list(converted)
    return list(values)


def is_missing(value: Any) -> bool:
    """Whether a value is a gap in a column: None, NaN or `pandas.NA`."""
    missing = isinstance(value, float) and math.isnan(value)
    return value is None or missing or type(value).__name__ in ("NAType", "NaTType")


def path_problem(value: Any, name: str) -> str | None:
    """Why a value cannot be the path of a file or folder; None if it can."""
    if isinstance(value, str) or hasattr(value, "__fspath__"):
        return None if os.fspath(value) else f"{name} is an empty path"
    what = type(value).__name__
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return (
            f"{name} is data in memory ({what}), not the path of a file: write it to a .jsonl "
            "file, one JSON object a line, and give its path"
        )
    return f"{name} must be a path, not {what}"


def to_path(value: Any, name: str) -> str:
    """A path as text.

    Raises:
        UserError: It is not a path.
    """
    if problem := path_problem(value, name):
        raise UserError(problem)
    path = os.fspath(value)
    return path if isinstance(path, str) else os.fsdecode(path)
