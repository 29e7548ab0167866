"""Labelled data of any form -> JSONL, CoNLL columns, tasks for Label Studio or doccano."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.exports.writing import (
    Canonical,
    doccano_lines,
    json_lines,
    label_studio_tasks,
)
from lowcost_ft.data.file_kinds import extension_of
from lowcost_ft.data.known_names import LABEL_NAMES, TEXT_NAMES
from lowcost_ft.data.readers import read_rows
from lowcost_ft.data.rows import (
    Row,
    column_names,
    file_of,
    find_column,
    read_text,
    same_column,
    shown,
)
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.convert_relations import (
    is_pair,
    pair_rows,
    relations_of,
    with_entities,
)
from lowcost_ft.record.overwriting import check_not_read
from lowcost_ft.tasks.problems import capped
from lowcost_ft.tasks.relation.row_forms import with_cells

__all__ = ["FORMS", "Conversion", "convert_file", "form_of", "read_texts", "write_new"]

FORMS = ("jsonl", "conll", "label_studio", "doccano")
"""What can be written: values of --to."""

_BY_EXTENSION = {
    **{".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "label_studio"},
    **dict.fromkeys((".conll", ".bio", ".iob", ".iob2"), "conll"),
}
_SPAN_COLUMNS = ("entities", "spans", "label", "labels")


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        to: Its form, one of `FORMS`.
        rows: How many rows.
        entities: How many entities.
        relations: How many relations.
        notices: What the user should know.
    """

    to: str
    rows: int
    entities: int
    relations: int
    notices: list[str]


def convert_file(
    source: str,
    target: str,
    *,
    to: str | None = None,
    reading: ReadingOptions | None = None,
    labelled: bool = True,
) -> Conversion:
    """Reads a file or folder of any form and writes it in another.

    Spans keep their characters; CoNLL holds words, which are cut at the edges of spans.

    Args:
        source: What to read.
        target: The file to write, which must not exist.
        to: One of `FORMS`; None: by the extension of the target.
        reading: How the source is read; None: all is guessed.
        labelled: Whether labels are wanted.

    Raises:
        UserError: Every problem in the source, or the target cannot be written.
    """
    to = form_of(target, to)
    check_not_read("OUT", target, replaced=[Path(target)], reads={"IN": source})
    problems: list[str] = []
    notices: list[str] = []
    reading = reading or ReadingOptions()
    rows = read_rows(source, problems, notices, reading, labelled=labelled, words=labelled)
    rows = [row for row in rows if not row.is_line or row.values["text"].strip()]
    found = _canonical(rows, reading, labelled, problems, notices) if not problems else []
    pairs = labelled and bool(found) and is_pair(found[0])
    # Without labels, texts to be tagged are wanted; with classes, every word would be tagged O.
    if labelled and to == "conll" and found and not any("entities" in row for row in found):
        pair = "names one pair of entities a row and not all of a text's entities"
        has = pair if pairs else "has no entities"
        problems.append(
            f"{file_of(rows[0].source)}: {has}, which is what columns of words hold; write JSONL "
            "(--to jsonl)"
        )
    if pairs and to != "jsonl" and not problems:
        found = with_entities(found, [row.source for row in rows], notices)
    content = "" if problems else _written(to, found, rows, problems, notices)
    if problems:
        raise UserError(problems)
    write_new(target, content)
    of_pairs = len(found) if pairs and to == "jsonl" else 0
    related = of_pairs + sum(len(row.get("relations") or ()) for row in found)
    return Conversion(
        to=to,
        rows=len(found),
        entities=2 * of_pairs + sum(len(row.get("entities") or ()) for row in found),
        relations=0 if to == "conll" else related,
        notices=notices,
    )


def form_of(target: str, to: str | None, forms: Sequence[str] = FORMS) -> str:
    """What is written into a file that must not exist yet.

    Args:
        target: The file.
        to: What the user asks for; None: by the extension of the target.
        forms: What can be written.

    Raises:
        UserError: The extension does not tell, or there is such a file.
    """
    to = to or _BY_EXTENSION.get(extension_of(target))
    if to is None or to not in forms:
        known = ", ".join(forms)
        raise UserError(
            f"{target}: say with --to what to write ({known}); {extension_of(target) or 'no'} "
            f"extension does not tell"
        )
    if os.path.lexists(target):
        raise UserError(f"{target} exists already; give another name, or delete it")
    return to


def write_new(target: str, content: str) -> None:
    """Writes a file that must not exist yet.

    Raises:
        UserError: It cannot be written.
    """
    folder = os.path.dirname(os.path.abspath(target))
    try:
        os.makedirs(folder, exist_ok=True)
        with open(target, "x", encoding="utf-8", newline="") as file:
            file.write(content)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror})") from error


def read_texts(
    source: str, *, reading: ReadingOptions | None = None, notices: list[str]
) -> list[tuple[dict[str, Any], str]]:
    """The texts of a file of any form, without their labels; each with its place in the file.

    Args:
        source: What to read.
        reading: How it is read; None: all is guessed.
        notices: Gets a line for what the user should know.

    Raises:
        UserError: Every problem in the source.
    """
    problems: list[str] = []
    reading = reading or ReadingOptions()
    rows = read_rows(source, problems, notices, reading, labelled=False)
    rows = [row for row in rows if not row.is_line or row.values["text"].strip()]
    found = _canonical(rows, reading, False, problems, notices) if not problems else []
    if problems:
        raise UserError(capped(problems), total=len(problems))
    return list(zip(found, (row.source for row in rows), strict=True))


def _written(
    to: str,
    found: Sequence[Canonical],
    rows: Sequence[Row],
    problems: list[str],
    notices: list[str],
) -> str:
    if to == "jsonl":
        return json_lines(found)
    if to == "label_studio":
        return label_studio_tasks(found)
    if to == "doccano":
        return doccano_lines(found)
    from lowcost_ft.pipeline.convert_words import conll_columns

    sources = [row.source for row in rows]
    return conll_columns(found, sources, problems=problems, notices=notices)


# --- Any rows -> rows in the package's own form -------------------------------------------------


def _canonical(
    rows: Sequence[Row],
    reading: ReadingOptions,
    labelled: bool,
    problems: list[str],
    notices: list[str],
) -> list[dict[str, Any]]:
    rows = [with_cells(row) for row in rows]
    names = column_names(rows)
    no_text = reading.text_column is None and not any(
        same_column(names, name) for name in TEXT_NAMES
    )
    # Without labels, a text is kept as it stands, with the tags that mark its pair.
    if rows and (labelled or no_text):
        pairs = pair_rows(rows, reading, labelled, problems=problems, notices=notices)
        if pairs is not None:
            return pairs
    if no_text:
        from lowcost_ft.pipeline.convert_words import joined_words

        return joined_words(rows, reading, labelled, problems=problems, notices=notices)
    text_column = find_column(
        rows, reading.text_column, TEXT_NAMES, "text", problems=problems, notices=notices
    )
    if text_column is None:
        return []
    taken = {text_column, "tokens", "tags"}
    spans = reading.tags_column or next(
        (name for name in _SPAN_COLUMNS if name in names and _holds_spans(rows, name)), None
    )
    label = reading.label_column or next(
        (name for name in LABEL_NAMES if name in names and name not in (spans, *taken)), None
    )
    if not labelled:
        spans = label = None
    checked = _checked(rows, text_column, spans, reading, problems, notices)
    found = []
    for row, entities in zip(rows, checked, strict=True):
        values: dict[str, Any] = {} if "id" not in row.values else {"id": row.values["id"]}
        values["text"] = str(row.values.get(text_column, ""))
        if spans is not None:
            values["entities"] = entities
        if labelled and "relations" in row.values:
            values["relations"] = relations_of(row, spans, entities, problems)
        if label is not None and label in row.values:
            values["label"] = row.values[label]
        known = {*taken, spans, label, *values}
        found.append(values | {n: v for n, v in row.values.items() if n not in known})
    return found


def _holds_spans(rows: Sequence[Row], column: str) -> bool:
    values = [row.values.get(column) for row in rows if row.values.get(column) is not None]
    return bool(values) and all(
        isinstance(value, dict)
        or (isinstance(value, list) and all(isinstance(item, list | dict) for item in value))
        for value in values
    )


def _checked(
    rows: Sequence[Row],
    text_column: str,
    spans: str | None,
    reading: ReadingOptions,
    problems: list[str],
    notices: list[str],
) -> list[list[dict[str, Any]]]:
    """The entities of each row, their offsets in characters, with their ids and other fields."""
    from lowcost_ft.tasks.ner.entity_spans import agreeing_spans, read_entities

    read = []
    for row in rows:
        text = read_text(row, text_column, problems) or ""
        given: list[Any] = []
        if spans is not None:
            given = read_entities(row, spans, text=text, names=[], found={}, problems=problems)
        read.append((row.source, text, given))
    if problems:
        return [[] for _ in rows]
    found: list[list[dict[str, Any]]] = []
    blank: list[str] = []
    agreeing = agreeing_spans(read, reading.entity_offsets, problems)
    for row, (source, text, _), places in zip(rows, read, agreeing, strict=True):
        entities = []
        value = row.values.get(spans) if spans is not None else None
        value = value["entities"] if isinstance(value, dict) else value or []
        for number, ((start, end, label), item) in enumerate(
            zip(places or (), value, strict=False), 1
        ):
            if not 0 <= start < end <= len(text):
                problems.append(
                    f"{source}: entity {start}..{end} {shown(label)} does not lie in its text of "
                    f"{len(text)} characters; correct start and end"
                )
                continue
            if text[start:end] != text[start:end].strip():
                blank.append(f"{source}: {start}..{end} {shown(label)}")
            own = dict(item) if isinstance(item, dict) else {}
            place = {"id": own.get("id", f"T{number}"), "start": start, "end": end, "label": label}
            place |= {"text": text[start:end]} if "text" in own else {}
            entities.append(place | {n: v for n, v in own.items() if n not in (*place, *_KEYS)})
        found.append(entities)
    if blank:
        count = f"{len(blank):,} {'entity' if len(blank) == 1 else 'entities'}"
        notices.append(
            f"{file_of(rows[0].source)}: {count} with a blank at an edge kept as they are "
            f"(training cuts it off), first {blank[0]}"
        )
    return found


_KEYS = (
    *("start_offset", "start_char", "start_index", "begin", "end_offset", "end_char"),
    *("end_index", "stop", "entity_group", "entity_type", "type", "tag", "entity"),
)
"""Other names of what is written as start, end and label."""
