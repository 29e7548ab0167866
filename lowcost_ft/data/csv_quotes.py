"""Quotes of CSV that are not what they seem: left open, or closed rows later.

A quote before a text opens a quoted field, which ends at the next lone quote, be it lines below.
The lines between are then one text, and the rows that they were are gone.
"""

import csv
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from lowcost_ft.data.known_names import LABEL_NAMES, TAG_NAMES
from lowcost_ft.data.rows import LINE_BREAK, counted, same_column

__all__ = ["Record", "open_quote", "swallowed_rows"]

_SEVERAL_LABELS = "|;,"


class Record(NamedTuple):
    """A row of a CSV file, cut into fields.

    Attributes:
        first: Its first line, from 1.
        last: Its last line.
        fields: The cells.
    """

    first: int
    last: int
    fields: list[str]


def swallowed_rows(
    path: str,
    records: Sequence[Record],
    delimiter: str,
    label_column: str | None,
    problems: list[str],
    notices: list[str],
) -> set[int]:
    """Looks for rows inside of quoted fields.

    A line inside a field is a row if it has the file's columns and its label cell is a label
    elsewhere in the file: that is a problem. Lines with the file's columns and another word in the
    place of the label give a notice, as do texts of several lines where no other column tells.

    Args:
        path: For the messages.
        records: All records, the header first.
        delimiter: Between the cells.
        label_column: Name of the label column, where the user gave one.
        problems: Gets a line for each field that holds rows.
        notices: Gets a line for the fields that may hold rows.

    Returns:
        First lines of the records that are a problem.
    """
    long = [record for record in records if any(map(LINE_BREAK.search, record.fields))]
    if not long:
        return set()
    width = Counter(len(record.fields) for record in records).most_common(1)[0][0]
    known = _labels(records, width, label_column) if width > 1 else {}
    faulty: set[int] = set()
    doubtful: list[str] = []
    for record in long:
        line = record.first
        for place, field in enumerate(record.fields):
            parts = LINE_BREAK.split(field)
            opened, closed = line, line + len(parts) - 1
            line = closed
            if len(parts) == 1:
                continue
            rows = list(_rows_inside(record.fields, place, parts, width, delimiter, known))
            cells = [
                [(row[at], labels) for at, labels in known.items() if own[at]] for row, own in rows
            ]
            hidden = sum(any(_parts(c) and _parts(c) <= of for c, of in inside) for inside in cells)
            numbers = sum(any(_is_new_number(c, of) for c, of in inside) for inside in cells)
            could_be = any(_could_be_label(c, of) for inside in cells for c, of in inside)
            # One line that ends in a number can be the "1,000" of a text.
            hidden += numbers if hidden + numbers > 1 else 0
            if hidden:
                faulty.add(record.first)
                problems.append(
                    f"{path}:{opened}: the quote that opens here closes on line {closed} and takes "
                    f"in what looks like {counted(hidden, 'row')} with a label that other rows "
                    f"have, too; close the quote on line {opened}, write "
                    f'it twice (""), or read quotes as they are (--no-csv-quotes); if it is one '
                    f"text, give the file as JSONL"
                )
                continue
            broken_label = place in known and sum(bool(part.strip()) for part in parts) > 1
            if broken_label or could_be or (rows and not known) or width == 1:
                doubtful.append(f"lines {opened} to {closed}")
    if doubtful:
        notices.append(
            f"{path}: {counted(len(doubtful), 'quoted text')} of several lines that could be rows, "
            f"the first on {doubtful[0]}; --no-csv-quotes reads quotes as they are"
        )
    return faulty


def _rows_inside(
    fields: Sequence[str],
    place: int,
    parts: Sequence[str],
    width: int,
    delimiter: str,
    label_places: Container[int],
) -> Iterator[tuple[list[str], list[bool]]]:
    """Rows that the lines of a field would be, and which of their cells stand in the field.

    The first line stands behind the record's cells before the field, and the last one before those
    after it.
    """
    for number, part in enumerate(parts):
        before = list(fields[:place]) if number == 0 else []
        after = list(fields[place + 1 :]) if number == len(parts) - 1 else []
        cells = _cells(part, delimiter)
        row = [*before, *cells, *after]
        if len(row) != width:
            continue
        own = [False] * len(before) + [True] * len(cells) + [False] * len(after)
        # The cells at the field's own ends are there with or without other rows in it, and tell
        # only where a line that begins or ends with a label goes on behind it.
        if number in (0, len(parts) - 1):
            own[place] = len(cells) > 1 and place in label_places
        if any(own):
            yield row, own


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), []) or [""]
    except csv.Error:
        return line.split(delimiter)


def _labels(
    records: Sequence[Record], width: int, label_column: str | None
) -> dict[int, frozenset[str]]:
    """Place of each column that may hold the labels -> its labels in rows of one line."""
    whole = [
        record.fields
        for record in records[1:]
        if len(record.fields) == width and not any(map(LINE_BREAK.search, record.fields))
    ]
    header = [name.strip() for name in records[0].fields]
    wanted = (*LABEL_NAMES, *TAG_NAMES) if label_column is None else (label_column,)
    for name in wanted:
        found = same_column(header, name)
        if found is not None and len(header) == width:
            place = header.index(found)
            return {place: frozenset().union(*(_parts(row[place]) for row in whole))}
    columns = {}
    for place in range(width):
        cells = [row[place] for row in whole]
        if cells and len(set(cells)) <= max(2, len(cells) // 2) and any(cells):
            columns[place] = frozenset().union(*map(_parts, cells))
    return columns


def _is_new_number(cell: str, labels: frozenset[str]) -> bool:
    """Whether a cell is a number among labels that are numbers, as in regression."""
    return cell not in labels and _is_number(cell) and bool(labels) and all(map(_is_number, labels))


def _could_be_label(cell: str, labels: frozenset[str]) -> bool:
    """Whether a cell has a label's length: the rest of a sentence after a comma has more words."""
    most = max((len(label.split()) for label in labels), default=1)
    return cell == cell.strip() != "" and len(cell.split()) <= most


def _parts(cell: str) -> set[str]:
    cells = [cell]
    for separator in _SEVERAL_LABELS:
        cells = [part for whole in cells for part in whole.split(separator)]
    return {part for part in cells if part}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def open_quote(lines: list[str], delimiter: str) -> int:
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
