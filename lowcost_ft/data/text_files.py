"""CSV, JSON and CoNLL columns, parsed so that every problem has a line number.

A line ends at CR, LF or CRLF and nowhere else: str.splitlines would also split at U+2028 and
others that occur inside texts.
"""

import csv
import io
import json
import re
from collections import Counter
from typing import Any

from lowcost_ft.data.rows import Row, counted, listed, shown

__all__ = ["LINE_BREAK", "is_json_list", "read_conll", "read_csv", "read_json"]
__all__ += ["read_json_lines"]

LINE_BREAK = re.compile(r"\r\n|\r|\n")

_JSON_LIST = re.compile(r"\s*\[\s*[{\]]")
_JSON_SPACE = re.compile(r"[ \t\r\n]*")
_ROW_EXAMPLE = '{"text": ..., "label": ...}'
# The largest limit that every platform's C long takes; the default of 128 KiB is a long document.
_CSV_FIELD_LIMIT = 2**31 - 1


def read_csv(path: str, text: str, delimiter: str | None, problems: list[str]) -> list[Row]:
    """Rows of a CSV file with a header; every value stays the text that it is.

    Args:
        path: For the messages.
        text: Content of the file.
        delimiter: None: the one of `,` `;` and tab that cuts the header into most columns.
        problems: Gets a line for each problem.
    """
    limit = csv.field_size_limit(_CSV_FIELD_LIMIT)
    try:
        return _read_csv(path, text, delimiter or _csv_delimiter(text), problems)
    finally:
        csv.field_size_limit(limit)


def _read_csv(path: str, text: str, delimiter: str, problems: list[str]) -> list[Row]:
    # newline="" keeps the line breaks inside quotes and still counts CR, LF and CRLF as lines.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows: list[Row] = []
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return rows
        except csv.Error:
            lines = LINE_BREAK.split(text)[line - 1 : reader.line_num]
            opened = line + _open_quote(lines, delimiter)
            problems.append(
                f"{path}:{opened}: the quote that opens here is not closed before a delimiter or "
                f'the end of a line; close it, and write a quote inside quotes twice ("")'
            )
            return rows
        if not fields:  # a blank line
            continue
        if not header:
            header = [name.strip() for name in fields]
            if repeated := [name for name, count in Counter(header).items() if count > 1]:
                problems.append(
                    f"{path}:{line}: the header has {listed(repeated)} twice; rename one"
                )
                return rows
        elif len(fields) == len(header):
            rows.append(Row(dict(zip(header, fields, strict=True)), f"{path}:{line}"))
        else:
            problems.append(
                f"{path}:{line}: {counted(len(fields), 'field')} where the header has "
                f"{len(header)}; put quotes around a text that holds {shown(delimiter)} or a quote"
            )


def _csv_delimiter(text: str) -> str:
    def columns(delimiter: str) -> int:
        header = csv.reader(io.StringIO(text.lstrip(), newline=""), delimiter=delimiter)
        return len(next(header, []))

    return max(",;\t", key=columns)


def _open_quote(lines: list[str], delimiter: str) -> int:
    """Index of the line on which the last quoted field of a broken record opens."""
    opened = 0
    quoted = False
    for number, line in enumerate(lines):
        before = "\n" if quoted else delimiter
        for character in line:
            if quoted:
                quoted = character != '"'
                before = '"'
                continue
            if character == '"':
                if before == delimiter:
                    opened = number
                quoted = before in (delimiter, '"')
            elif before == '"' and character != delimiter:
                return opened  # text after the closing quote: where the parser gave up
            before = character
    return opened


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        repeated = next(key for key, count in Counter(k for k, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {shown(repeated)} occurs twice in one object; delete one")
    return values


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON and no usable value; write a number or delete the row")


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
            f"{source}: {shown(value)} is no JSON object; every row must be one, as {_ROW_EXAMPLE}"
        )


def is_json_list(text: str) -> bool:
    """Whether a text begins like a list of JSON objects, and not like an object a line."""
    return bool(_JSON_LIST.match(text))


def read_json_lines(path: str, text: str, problems: list[str]) -> list[Row]:
    """One JSON object a line; blank lines are no rows."""
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


def read_json(path: str, text: str, problems: list[str]) -> list[Row]:
    """One list of JSON objects; a file that does not start with `[` holds an object a line."""
    start = _json_space(text, 0)
    if text[start : start + 1] != "[":
        return _read_lines_of_json(path, text, problems)

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
            return rows
        if mark != ",":
            line += len(LINE_BREAK.findall(text, counted, position if mark == "]" else end))
            fault = "text after the list" if mark == "]" else "no comma or ] after an object"
            problems.append(f"{path}:{line}: broken JSON, {fault}; correct the line")
            return rows


def _read_lines_of_json(path: str, text: str, problems: list[str]) -> list[Row]:
    try:
        whole = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return read_json_lines(path, text, problems)
    if isinstance(whole, dict) and LINE_BREAK.search(text.strip()):
        problems.append(
            f"{path}:1: one JSON object with the keys {listed(list(whole))}; the file must be a "
            f"list of rows, [{_ROW_EXAMPLE}, ...], or hold one row a line"
        )
        return []
    return read_json_lines(path, text, problems)


def _json_space(text: str, position: int) -> int:
    match = _JSON_SPACE.match(text, position)
    return match.end() if match else position


def read_conll(path: str, text: str, problems: list[str], notices: list[str]) -> list[Row]:
    """Sentences of a file with one word a line, its tag in the last column.

    Columns are separated by tabs where the first line has one, else by spaces. A blank line, or
    one of tabs and spaces alone, ends a sentence; `-DOCSTART-` lines are skipped.

    Returns:
        Rows `{"tokens": [...], "tags": [...]}`; without "tags" if there is only one column.
    """
    lines = [line if line.strip(" \t") else "" for line in LINE_BREAK.split(text)]
    filled = [line for line in lines if line]
    tabs = bool(filled) and "\t" in filled[0]
    fields = [_conll_fields(line, tabs) for line in lines]
    # Most lines are right: the ones with another number of columns are the broken ones.
    usual = Counter(len(columns) for columns in fields if columns).most_common(1)
    width = usual[0][0] if usual else 0

    rows: list[Row] = []
    tokens: list[str] = []
    tags: list[str] = []
    skipped = 0

    def end_sentence(next_line: int) -> None:
        if tokens:
            first = next_line - len(tokens)
            values = {"tokens": tokens[:], "tags": tags[:]} if width > 1 else {"tokens": tokens[:]}
            rows.append(Row(values, f"{path}:{first}", first))
        tokens.clear()
        tags.clear()

    for number, columns in enumerate(fields, 1):
        if not columns:
            end_sentence(number)
        elif columns[0].startswith("-DOCSTART-"):
            end_sentence(number)
            skipped += 1
        elif fault := _conll_fault(columns, width):
            end_sentence(number)
            problems.append(f"{path}:{number}: {fault} in {shown(lines[number - 1])}; correct it")
        else:
            tokens.append(columns[0])
            tags.append(columns[-1])
    end_sentence(len(fields) + 1)
    if skipped:
        notices.append(f"{path}: {skipped} -DOCSTART- line(s) skipped")
    return rows


def _conll_fields(line: str, tabs: bool) -> list[str]:
    if not line:
        return []
    if tabs:
        return [field.strip(" ") for field in line.split("\t")]
    # A leading space leaves an empty first field: a tag without its word.
    return re.split("[ \t]+", line.rstrip(" \t"))


def _conll_fault(columns: list[str], width: int) -> str | None:
    if width > 1 and not columns[0]:
        return "a tag without a word"
    if width > 1 and (len(columns) == 1 or not columns[-1]):
        return "a word without a tag"
    if len(columns) != width:
        return f"{counted(len(columns), 'column')} where most lines have {width}"
    return None
