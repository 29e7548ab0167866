"""Cells of a table that hold a list or an object, written as JSON or as Python writes it."""

import ast
import json
from contextlib import suppress
from typing import Any

__all__ = ["unpacked"]


def unpacked(value: Any) -> Any:
    """What a cell holds: itself, or the list or object that its text writes down."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):
        for read in (json.loads, ast.literal_eval):
            with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                return read(value)
    return value
