"""CSV and TSV with a header -> rows, so that every problem has a line number."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from lowcost_ft.data.csv_quotes import Record, open_quote, swallowed_rows
from lowcost_ft.data.known_names import LABEL_NAMES, TAG_NAMES, TEXT_NAMES, WORD_NAMES
from lowcost_ft.data.rows import LINE_BREAK, Row, counted, listed, plain_name, shown

__all__ = ["csv_delimiter", "read_csv", "without_empty"]

# The largest limit that every platform's C long takes; the default of 128 KiB is a long document.
_CSV_FIELD_LIMIT = 2**31 - 1
_LOOKED_AT = 1000
"""Lines by which a delimiter is told that is rare."""
_SEPARATOR_LINE = re.compile(r"sep=(.)(?=[\r\n])", re.IGNORECASE)
"""A first line that tells Excel what separates the cells."""


def read_csv(
    path: str,
    text: str,
    delimiter: str | None,
    problems: list[str],
    notices: list[str] | None = None,
    *,
    quotes: bool = True,
    label_column: str | None = None,
    numbers: Sequence[str] = (),
) -> list[Row]:
    """Rows of a CSV file with a header; every value stays the text that it is.

    Args:
        path: For the messages.
        text: Content of the file.
        delimiter: None: what `csv_delimiter` finds.
        problems: Gets a line for each problem.
        notices: Gets a line for columns without a name, and for fields that may hide rows.
        quotes: Whether quotes hold a field together.
        label_column: Name or number of the label column, where it is known.
        numbers: Columns that the user chose by a number. Then the first line can be a row: unless
            it has a usual name, or a label that no other row has. The columns are "1", "2", ...
    """
    notices = [] if notices is None else notices
    limit = csv.field_size_limit(_CSV_FIELD_LIMIT)
    try:
        if separator := _SEPARATOR_LINE.match(text):
            delimiter, text = separator[1], text[separator.end() :]  # Its line end still counts.
        delimiter = delimiter or csv_delimiter(text)
        records = _records(path, text, delimiter, quotes, problems, notices)
        if faulty := swallowed_rows(path, records, delimiter, label_column, problems, notices):
            if records[0].first in faulty:
                return []
            records = [record for record in records if record.first not in faulty]
        if numbers and records and not _has_header(records, numbers, label_column):
            notices.append(f"{path}: read as a table without a header; its first line is a row")
            width = len(records[0].fields)
            names = [str(number) for number in range(1, width + 1)]
            records = [Record(records[0].first, records[0].last, names), *records]
        return _rows(path, records, delimiter, quotes, problems, notices)
    finally:
        csv.field_size_limit(limit)


def _records(
    path: str,
    text: str,
    delimiter: str,
    quotes: bool,
    problems: list[str],
    notices: list[str],
) -> list[Record]:
    # newline="" keeps the line breaks inside quotes and still counts CR, LF and CRLF as lines.
    content = io.StringIO(text, newline="")
    reader = (
        csv.reader(content, delimiter=delimiter, strict=True)
        if quotes
        else csv.reader(content, delimiter=delimiter, strict=True, quoting=csv.QUOTE_NONE)
    )
    records: list[Record] = []
    blank: list[int] = []
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            between = [number for number in blank if number < records[-1].first] if records else []
            if between and all(len(record.fields) == 1 for record in records):
                notices.append(
                    f"{path}: {counted(len(between), 'blank line')} not taken for a row, first "
                    f'line {between[0]}; write "" for a row with an empty text'
                )
            return records
        except csv.Error:
            lines = LINE_BREAK.split(text)[line - 1 : reader.line_num]
            opened = line + open_quote(lines, delimiter)
            problems.append(
                f"{path}:{opened}: the quote that opens here is not closed before a delimiter or "
                f'the end of a line; close it, and write a quote inside quotes twice (""); or read '
                f"quotes as they are (--no-csv-quotes)"
            )
            return records
        if not fields:
            blank.append(line)
        else:
            records.append(Record(line, reader.line_num, fields))


def without_empty(path: str, rows: Sequence[Row], notices: list[str]) -> list[Row]:
    """Rows with something in a cell: spreadsheets write rows that were cleared, too.

    Args:
        path: For the notice.
        rows: All rows.
        notices: Gets a line where some are left out.
    """
    empty = [row for row in rows if len(row.values) > 1 and not any(row.values.values())]
    if not empty or len(empty) == len(rows):
        return list(rows)
    notices.append(
        f"{path}: {counted(len(empty), 'row')} of empty cells left out, first {empty[0].source}"
    )
    left_out = {row.source for row in empty}
    return [row for row in rows if row.source not in left_out]


def _has_header(
    records: Sequence[Record], numbers: Sequence[str], label_column: str | None
) -> bool:
    first = {plain_name(name) for name in records[0].fields}
    usual = {*TEXT_NAMES, *LABEL_NAMES, *WORD_NAMES, *TAG_NAMES, "id", ""}
    if first & (usual | set(numbers)):
        return True
    if label_column is None or label_column not in numbers:
        return False
    place = int(label_column[:9]) - 1
    if not 0 <= place < len(records[0].fields):
        return False
    labels = {record.fields[place] for record in records[1:] if place < len(record.fields)}
    return records[0].fields[place] not in labels


def _rows(
    path: str,
    records: list[Record],
    delimiter: str,
    quotes: bool,
    problems: list[str],
    notices: list[str],
) -> list[Row]:
    if not records:
        return []
    line, _, fields = records[0]
    header = [name.strip() for name in fields]
    # One column without a name is what pandas writes for its index; several cannot be told apart.
    unnamed = [place for place, name in enumerate(header, 1) if not name]
    if len(unnamed) > 1:
        notices.append(
            f"{path}: {len(unnamed)} columns without a name are not read, the first is column "
            f"{unnamed[0]}"
        )
    named = [place - 1 for place in range(1, len(header) + 1) if place not in unnamed]
    kept = named if len(unnamed) > 1 else list(range(len(header)))
    names = [header[place] for place in kept]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        problems.append(f"{path}:{line}: the header has {listed(repeated)} twice; rename one")
        return []
    rows: list[Row] = []
    for line, _, fields in records[1:]:
        if len(fields) == len(header):
            values = [fields[place] for place in kept]
            rows.append(Row(dict(zip(names, values, strict=True)), f"{path}:{line}"))
        else:
            fix = (
                f"put quotes around a text that holds {shown(delimiter)} or a quote"
                if quotes
                else f"read without quotes, a text cannot hold {shown(delimiter)}: give such texts "
                f"as JSONL, or put quotes around them and leave out --no-csv-quotes"
            )
            problems.append(
                f"{path}:{line}: {counted(len(fields), 'field')} where the header has "
                f"{len(header)}; {fix}"
            )
    return rows


def csv_delimiter(text: str) -> str:
    """The one of `,` `;` and tab that cuts the first line into most columns.

    `|`, which texts may hold, is it where none of these cuts the first line, and `|` cuts nearly
    all lines into as many columns as the first.
    """

    def widths(delimiter: str, count: int) -> list[int]:
        table = csv.reader(io.StringIO(text.lstrip(), newline=""), delimiter=delimiter)
        try:
            return [len(fields) for fields in islice(table, count) if fields]
        except csv.Error:  # a field beyond the limit
            return [0]

    best = max(",;\t", key=lambda delimiter: widths(delimiter, 1))
    if widths(best, 1) != [1]:
        return best
    found = widths("|", _LOOKED_AT)
    return "|" if found[0] > 1 and found.count(found[0]) >= 0.9 * len(found) else best
