"""Label Studio's JSON-MIN and CSV: a row for each annotation -> inputs with annotations."""

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from lowcost_ft.data.exports.annotated import (
    Annotated,
    Annotation,
    ExportError,
    is_offset,
    labels_of,
)
from lowcost_ft.data.known_names import TEXT_NAMES
from lowcost_ft.data.rows import Row, column_names, counted, file_of, find_column, shown

__all__ = ["is_label_studio_min", "read_inputs", "read_label_studio_min"]

_ABOUT = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
_OF_ITS_OWN = {"annotator", "annotation_id", "lead_time"}


def is_label_studio_min(values: Mapping[str, Any]) -> bool:
    """Whether a row is one of JSON-MIN, or of the table that Label Studio writes."""
    return set(values) >= _OF_ITS_OWN


def read_inputs(rows: Sequence[Row]) -> list[Annotated]:
    """The inputs alone, one for each row."""
    return [
        Annotated(Row({n: v for n, v in row.values.items() if n not in _ABOUT}, row.source))
        for row in rows
    ]


def read_label_studio_min(
    rows: Sequence[Row],
    *,
    text_column: str | None,
    label_column: str | None,
    problems: list[str],
    notices: list[str],
) -> list[Annotated]:
    """Reads rows; those with one `id` and one text are annotations of one input.

    Lists of spans become `entities`. What is a class and what a field of the input, the file does
    not tell: where several annotators labelled an input, what they differ in is taken for classes.

    Args:
        rows: The rows of one file.
        text_column: The column with the text, if the user named one.
        label_column: The column with the label, if the user named one.
        problems: Gets a line for each row that cannot be read.
        notices: Gets a line for rows that have one `id` and several texts.
    """
    text = find_column(rows, text_column, TEXT_NAMES, "text", problems=[], notices=[])
    if text not in (None, text_column, "text"):  # Its name is usual for answers of people, too.
        if problem := _several_texts(rows, str(text)):
            problems.append(problem)
            return []
        text = None
    read: dict[Hashable, list[tuple[Row, str]]] = {}
    names = [name for name in column_names(rows) if name not in _ABOUT]
    cells = {name: [_cell(row.values.get(name)) for row in rows] for name in names}
    spans = [name for name in names if any(map(_are_spans, cells[name]))]
    several = [name for name in names if any(map(_are_choices, cells[name]))]
    for number, row in enumerate(rows):
        try:
            values = {n: _plain(cells[n][number]) for n in names if n in row.values}
            for name in several:  # One choice alone stands there without a list, and none not.
                values[name] = _listed(values.get(name))
            for name in spans:
                values[name] = _entities(cells[name][number], name)
        except ExportError as error:
            problems.append(f"{row.source}: {error}")
            continue
        if spans:
            values["entities"] = [entity for name in spans for entity in values[name]]
            if len(spans) == 1 and spans[0] != "entities":
                del values[spans[0]]
        who = row.values.get("annotator")
        if isinstance(who, Mapping):
            who = who.get("email") or who.get("id")
        read.setdefault(_input_of(row, text), []).append((Row(values, row.source), str(who)))
    if again := _with_another_text(rows, text):
        place, before = (row.source for row in again[0])
        notices.append(
            f"{file_of(place)}: {counted(len(again), 'row')} with the id of another row and "
            f"another text read as inputs of their own, first {place} (the id of {before})"
        )
    labels = {"entities", *spans, *([label_column] if label_column is not None else [])}
    for group in read.values():
        first = group[0][0].values
        # A control that an annotator left empty is missing from that annotator's row.
        given = {n for row, _ in group for n in row.values}
        labels |= {n for row, _ in group for n in given if row.values.get(n) != first.get(n)}
    return [
        Annotated(
            Row(
                {n: v for n, v in group[0][0].values.items() if n not in labels}, group[0][0].source
            ),
            tuple(
                Annotation(who, {n: v for n, v in row.values.items() if n in labels})
                for row, who in group
            ),
        )
        for group in read.values()
    ]


def _input_of(row: Row, text: str | None) -> Hashable:
    """What the annotations of one input have in common: ids alone repeat in files put together."""
    if row.values.get("id") is None:
        return row.source
    return str(row.values["id"]), None if text is None else str(row.values.get(text))


def _with_another_text(rows: Sequence[Row], text: str | None) -> list[tuple[Row, Row]]:
    """Rows with the id of a row before and another text, and those rows before."""
    first: dict[Hashable, Row] = {}
    for row in rows:
        first.setdefault(_input_of(row, None), row)
    pairs = [(row, first[_input_of(row, None)]) for row in rows]
    return [pair for pair in pairs if _input_of(pair[0], text) != _input_of(pair[1], text)]


def _several_texts(rows: Sequence[Row], text: str) -> str | None:
    """What is wrong where rows with one id differ in what looks like the text."""
    again = _with_another_text(rows, text)
    if not again:
        return None
    row, before = again[0]
    return (
        f"{row.source}: has the id {shown(row.values['id'])} of {before.source}, and another "
        f"{shown(text)}; name the column of the text with --text-column: rows that differ in it "
        f"are inputs of their own, and rows that have it in common are annotations of one"
    )


def _cell(value: Any) -> Any:
    """The value of a cell; a table holds lists as JSON."""
    if isinstance(value, str) and value[:2] in ("[{", '{"', "[]"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _are_spans(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and "start" in item and "end" in item for item in value)
    )


def _are_choices(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"choices"}


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [] if value in (None, "") else [value]


def _plain(value: Any) -> Any:
    """Classes as strings: several stand in an object of their own."""
    if _are_choices(value):
        return value["choices"]
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        for name in ("rating", "number"):
            if name in value[0]:
                return value[0][name]
        if isinstance(value[0].get("taxonomy"), list):
            return [
                "/".join(map(str, p)) if isinstance(p, list) else p for p in value[0]["taxonomy"]
            ]
    return value


def _entities(value: Any, column: str) -> list[dict[str, Any]]:
    if value is None or value == "" or value == []:
        return []
    if not _are_spans(value):
        raise ExportError(f"{shown(column)} is {shown(value)}, not a list of spans")
    found = []
    for item in value:
        start, end, labels = item["start"], item["end"], item.get("labels", item.get("label"))
        labels = [labels] if isinstance(labels, str) else labels
        if not is_offset(start) or not is_offset(end):
            raise ExportError(
                f"a span from {shown(start)} to {shown(end)} does not count characters; label "
                f"plain texts, or leave it out"
            )
        labels = labels_of(labels, f"the span {start}..{end}")
        own = {"text": item["text"]} if isinstance(item.get("text"), str) else {}
        found += [{"start": start, "end": end, "label": label} | own for label in labels]
    return [{"id": f"T{number}"} | entity for number, entity in enumerate(found, 1)]
