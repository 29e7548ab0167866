"""Cells of a table that hold a list or an object, written as JSON, Python or NumPy writes it."""

import ast
import io
import json
import re
import tokenize
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lowcost_ft.data.rows import Row

__all__ = ["unpacked", "unpacked_rows"]

_LIKE_NUMPY = re.compile(r"""\barray\(|['"\d]\s+['"\d]""")
_VALUES = (tokenize.STRING, tokenize.NUMBER)
_BETWEEN = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def unpacked(value: Any) -> Any:
    """What a cell holds: itself, or the list or object that its text writes down."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):
        for read in (json.loads, _python):
            with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                return read(value)
    return value


def unpacked_rows(rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """Rows of a table with the lists and objects that the cells of some columns write down."""
    found = []
    for row in rows:
        written = {n: row.values[n] for n in columns if isinstance(row.values.get(n), str)}
        read = {name: unpacked(value) for name, value in written.items()}
        changed = any(read[name] is not value for name, value in written.items())
        found.append(replace(row, values=row.values | read) if changed else row)
    return found


def _python(text: str) -> Any:
    """A value as Python prints it, or an array as NumPy does: `['a' 'b']`, `array([1], dtype=..)`.

    Raises:
        ValueError, SyntaxError: It is none.
    """
    text = text.strip()
    if _LIKE_NUMPY.search(text):  # Python would take two texts side by side for one.
        text = _with_commas(text)
    return ast.literal_eval(_Arrays().visit(ast.parse(text, mode="eval")))


def _with_commas(text: str) -> str:
    parts, after_value = [], False
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in _BETWEEN:
                parts += [","] * (after_value and token.type in _VALUES) + [token.string]
                after_value = token.type in _VALUES
    except tokenize.TokenError as error:
        raise ValueError(f"no value: {error}") from error
    return " ".join(parts)


class _Arrays(ast.NodeTransformer):
    """Takes what stands in `array(...)` in its place."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name != "array" or len(node.args) != 1:
            raise ValueError("no value, but a call")
        return self.visit(node.args[0])
