"""JSON -> rows: an object a line, one list of them, or a table as pandas or SQuAD has it."""

import json
import re
from collections import Counter
from typing import Any

from lowcost_ft.data.json_tables import table_rows
from lowcost_ft.data.rows import LINE_BREAK, Row, listed, shown, told_apart
from lowcost_ft.data.squad_files import squad_rows

__all__ = ["is_json_list", "is_json_object", "read_json", "read_json_lines"]

_JSON_LIST = re.compile(r"\s*\[\s*[{\]]")
_JSON_SPACE = re.compile(r"[ \t\r\n]*")
_ROW_EXAMPLE = '{"text": ..., "label": ...}'


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        repeated = next(key for key, count in Counter(k for k, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {shown(repeated)} occurs twice in one object; delete one")
    return values


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON and not a usable value; write a number or delete the row")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)


def _json_fault(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"broken JSON, {error.msg} (character {error.pos + 1}); correct the line"
    if isinstance(error, RecursionError):
        return "JSON nested too deeply; flatten it"
    return str(error)


def _add_object(value: Any, source: str, rows: list[Row], problems: list[str]) -> None:
    if isinstance(value, dict):
        rows.append(Row(value, source))
    elif (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], dict)
        and "text" not in value[1]
    ):
        rows.append(Row({"text": value[0], **value[1]}, source))  # spaCy's [text, annotations]
    else:
        problems.append(
            f"{source}: {shown(value)} is not a JSON object; every row must be one, as "
            f"{_ROW_EXAMPLE}"
        )


def is_json_list(text: str) -> bool:
    """Whether a text begins like a list of JSON objects, and not like an object a line."""
    return bool(_JSON_LIST.match(text))


def is_json_object(line: str) -> bool:
    """Whether a line is a JSON object: what a file of one object a line begins with."""
    try:
        return line.lstrip().startswith("{") and isinstance(_DECODER.decode(line), dict)
    except (ValueError, RecursionError):
        return False


def read_json_lines(
    path: str, text: str, problems: list[str], notices: list[str] | None = None
) -> list[Row]:
    """One JSON object a line, blank lines are not rows; or one table as pandas writes it."""
    if text.lstrip().startswith("{"):
        try:
            whole = _DECODER.decode(text)  # of several objects only the first is looked at
        except (ValueError, RecursionError):
            whole = None
        table = _rows_of_one(path, whole, problems, notices)
        if table is not None:
            return table
        if whole is None and (several := _objects_over_lines(path, text)):
            return several
    rows: list[Row] = []
    for number, line in enumerate(LINE_BREAK.split(text), 1):
        if not line.strip():
            continue
        source = f"{path}:{number}"
        try:
            value = _DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            problems.append(f"{source}: {_json_fault(error)}")
        else:
            _add_object(value, source, rows, problems)
    return rows


def _objects_over_lines(path: str, text: str) -> list[Row]:
    """Rows of objects that follow one another, each over several lines, as jq prints them.

    None of them where something else stands between, or the first line is an object of its own.
    """
    rows: list[Row] = []
    position, line, counted = _json_space(text, 0), 1, 0
    while position < len(text):
        line += len(LINE_BREAK.findall(text, counted, position))
        counted = position
        try:
            value, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            return []
        if not isinstance(value, dict) or (not rows and not LINE_BREAK.search(text, position, end)):
            return []
        rows.append(Row(value, f"{path}:{line}"))
        position = _json_space(text, end)
    return told_apart(rows)


def read_json(
    path: str, text: str, problems: list[str], notices: list[str] | None = None
) -> list[Row]:
    """One list of JSON objects, or one table as pandas or SQuAD has it, or an object a line.

    Args:
        path: For the messages.
        text: Content of the file.
        problems: Gets a line for each problem.
        notices: Gets a line where the file holds a table; None: that is not wanted.
    """
    start = _json_space(text, 0)
    if text[start : start + 1] != "[":
        return _read_lines_of_json(path, text, problems, notices)

    rows: list[Row] = []
    position = _json_space(text, start + 1)
    line, counted = 1, 0
    if text[position : position + 1] == "]":
        return rows
    while True:
        line += len(LINE_BREAK.findall(text, counted, position))
        counted = position
        source = f"{path}:{line}"
        try:
            value, end = _DECODER.raw_decode(text, position)
        except json.JSONDecodeError as error:
            line += len(LINE_BREAK.findall(text, counted, error.pos))
            problems.append(f"{path}:{line}: broken JSON, {error.msg}; correct the line")
            return rows
        except (ValueError, RecursionError) as error:
            problems.append(f"{source}: {_json_fault(error)}")
            return rows
        _add_object(value, source, rows, problems)
        end = _json_space(text, end)
        mark = text[end : end + 1]
        position = _json_space(text, end + 1)
        if mark == "]" and position >= len(text):
            squad = squad_rows(path, [row.values for row in rows], problems, notices)
            return told_apart(rows) if squad is None else squad
        if mark != ",":
            line += len(LINE_BREAK.findall(text, counted, position if mark == "]" else end))
            fault = "text after the list" if mark == "]" else "no comma or ] after an object"
            problems.append(f"{path}:{line}: broken JSON, {fault}; correct the line")
            return rows


def _read_lines_of_json(
    path: str, text: str, problems: list[str], notices: list[str] | None
) -> list[Row]:
    try:
        whole = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return read_json_lines(path, text, problems)
    table = _rows_of_one(path, whole, problems, notices)
    if table is not None:
        return table
    if isinstance(whole, dict) and LINE_BREAK.search(text.strip()):
        problems.append(
            f"{path}:1: one JSON object with the keys {listed(list(whole))}; the file must be a "
            f"list of rows, [{_ROW_EXAMPLE}, ...], or hold one row a line"
        )
        return []
    return read_json_lines(path, text, problems)


def _rows_of_one(
    path: str, whole: Any, problems: list[str], notices: list[str] | None
) -> list[Row] | None:
    """Rows of a file that is one JSON object; None where it is not a layout that is known."""
    squad = squad_rows(path, whole, problems, notices)
    return table_rows(path, whole, problems, notices) if squad is None else squad


def _json_space(text: str, position: int) -> int:
    match = _JSON_SPACE.match(text, position)
    return match.end() if match else position
