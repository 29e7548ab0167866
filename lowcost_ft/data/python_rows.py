"""Data that is in Python already -> rows, as files give them."""

from collections.abc import Iterable, Mapping
from typing import Any

from lowcost_ft.data.rows import Row, shown

__all__ = ["Rows", "read_python_rows"]

Rows = Any
"""Rows of one split: an iterable of mappings from columns to values, a `datasets.Dataset` or a
pandas frame."""


def read_python_rows(data: Rows, split: str, problems: list[str]) -> list[Row]:
    """Rows of data in Python; class numbers of a `datasets.Dataset` come out as their names.

    Args:
        data: The rows of one split.
        split: Its name, for messages: rows are called `train:row 1` and so on.
        problems: Gets a line for what are not rows.
    """
    if hasattr(data, "features") and hasattr(data, "with_format"):
        from lowcost_ft.data.tables import dataset_rows

        return dataset_rows(data, split, problems)
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        data = data.to_dict(orient="records")
    if isinstance(data, str | bytes | Mapping) or not isinstance(data, Iterable):
        fix = "; a file goes into --train-file and the like" if isinstance(data, str) else ""
        problems.append(
            f"{split}: {type(data).__name__} is not a list of rows: give dictionaries with the "
            f"columns that a file would have, a datasets.Dataset or a pandas frame{fix}"
        )
        return []
    rows = []
    for number, values in enumerate(data, 1):
        if isinstance(values, Mapping):
            plain = {str(name): _plain(value) for name, value in values.items()}
            rows.append(Row(plain, f"{split}:row {number}"))
        else:
            problems.append(
                f"{split}:row {number}: {shown(values)} is not a dictionary from columns to values"
            )
    if not rows and not problems:
        problems.append(f"{split}: there are no rows")
    return rows


def _plain(value: Any) -> Any:
    """A value as JSON would hold it: NumPy's numbers and arrays, and missing values of pandas."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
