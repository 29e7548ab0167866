"""The rows of a table of classes, where there is no room for all of them."""

from collections.abc import Mapping
from typing import Any

__all__ = ["worst_first"]


def worst_first(
    table: Mapping[str, Mapping[str, Any]], *, most: int
) -> list[tuple[str, Mapping[str, Any]]]:
    """All rows in their order; if there are more than `most`, those of the lowest F1.

    Of equal classes the more frequent come first. Classes without examples come last.
    """
    rows = list(table.items())
    if len(rows) <= most:
        return rows
    rows.sort(key=lambda item: (not item[1]["support"], item[1]["f1"], -item[1]["support"]))
    return rows[:most]
