"""Rows with a text and its entities -> NER examples."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.label_names import names_of
from lowcost_ft.data.rows import (
    Row,
    blank_notice,
    blank_rows,
    column_names,
    file_of,
    find_column,
    listed,
    read_id,
    read_text,
    same_column,
)
from lowcost_ft.tasks.ner.entity_offsets import Entity, agreeing_spans, offsets_hint
from lowcost_ft.tasks.ner.entity_spans import clean_spans, read_entities, with_whole_addresses
from lowcost_ft.tasks.ner.example import NerExample, text_example
from lowcost_ft.tasks.ner.tagging import entities_to_tags, span_problems

__all__ = ["ENTITIES_COLUMNS", "TEXT_COLUMNS", "read_text_rows"]

TEXT_COLUMNS = ("text", "sentence", "content", "message")
_ENTITIES = ("entities", "spans")
_TRIPLES = ("label", "labels")
ENTITIES_COLUMNS = (*_ENTITIES, *_TRIPLES)

_WHOLE = "which is one word: --word-splitting unicode-v1 cuts it into several"
_TOLD = {
    "widened": "begin or end inside a word and were widened to whole words",
    "in_address": f"lie inside a web or e-mail address and were widened to all of it, {_WHOLE}",
    "beside": f"lie in the web or e-mail address of another one and were left out, {_WHOLE}",
    "trimmed": "begin or end with white space, which was cut off",
    "dropped": "are listed twice and were read once",
}
"""What notices say of entities that are not read as the file has them."""


def read_text_rows(
    rows: Sequence[Row],
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
    labelled: bool,
) -> list[NerExample]:
    """Reads one split's rows; see `read_examples`."""
    names = column_names(rows)
    if reading.text_column is None and not any(same_column(names, g) for g in TEXT_COLUMNS):
        problems.append(
            f"{file_of(rows[0].source)}: no column of words or of a text; name it with "
            f"--tokens-column or --text-column; the columns are {listed(names)}"
        )
        return []
    found: dict[str, Any] = {"problems": problems, "notices": notices}
    text_column = find_column(rows, reading.text_column, TEXT_COLUMNS, "text", **found)
    if not labelled:
        return [] if text_column is None else _texts(rows, text_column, reading, **found)
    guesses = [*_ENTITIES, *(name for name in _TRIPLES if _holds_spans(rows, name))]
    tags_column = find_column(rows, reading.tags_column, guesses, "tags", **found)
    if text_column is None or tags_column is None:
        return []
    return _tagged(
        _with_entities(rows, text_column, tags_column, reading, **found), reading, **found
    )


def _holds_spans(rows: Sequence[Row], column: str) -> bool:
    """Whether a column holds lists of [start, end, label], doccano's, and nothing else."""
    values = [row.values.get(column) for row in rows]
    lists = [value for value in values if isinstance(value, list | tuple)]
    return (
        len(lists) == len(values)
        and any(lists)
        and all(isinstance(one, list | tuple) and len(one) == 3 for some in lists for one in some)
    )


def _texts(
    rows: Sequence[Row],
    column: str,
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
) -> list[NerExample]:
    """Texts to predict; a row may have none."""
    examples, blank = [], blank_rows(rows, column)
    for row, is_blank in zip(rows, blank, strict=True):
        text = row.values[column] or "" if is_blank else read_text(row, column, problems)
        if text is not None:
            row_id, rule = read_id(row, [column]), reading.word_splitting
            examples.append(text_example(text, source=row.source, row_id=row_id, rule=rule))
    notices += blank_notice(rows, blank)
    return examples


_Read = tuple[Row, str, list[Entity], str | int | float | None]
"""A row, its text, its entities, and its id."""


def _with_entities(
    rows: Sequence[Row],
    text_column: str,
    tags_column: str,
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
) -> list[_Read]:
    names = names_of(reading.label_names, problems)
    read: list[_Read] = []
    forms: dict[str, str] = {}
    elsewhere: list[str] = []
    for row in rows:
        before = len(problems)
        text = read_text(row, text_column, problems)
        entities = read_entities(
            row,
            tags_column,
            text=text or "",
            names=names,
            found=forms,
            problems=problems,
            elsewhere=elsewhere,
        )
        if text is not None and len(problems) == before:
            read.append((row, text, entities, read_id(row, [text_column, tags_column])))
    file = file_of(rows[0].source)
    notices += [
        f"{file}: entities are read by {form}, first at {source}" for form, source in forms.items()
    ]
    if elsewhere:
        notices.append(
            f"{file}: {len(elsewhere):,} of the entities name a text that the row's text does not "
            f"hold, so that it is not compared with the offsets, first at {elsewhere[0]}"
        )
    return read


def _tagged(
    read: Sequence[_Read],
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
) -> list[NerExample]:
    rows = [(row.source, text, entities) for row, text, entities, _ in read]
    found_spans = agreeing_spans(rows, reading.entity_offsets, problems)
    examples: list[NerExample] = []
    faulty: list[str] = []
    changed: dict[str, list[str]] = {name: [] for name in _TOLD}
    for (row, text, _, row_id), spans in zip(read, found_spans, strict=True):
        if spans is None:
            continue
        spans, trimmed, dropped = clean_spans(text, spans)
        # Entities that share an address alone are no problem.
        if faults := span_problems(text, spans, "unicode-v1"):
            faulty += [f"{row.source}: {fault}" for fault in faults]
            continue
        spans, in_address, beside = with_whole_addresses(text, spans, reading.word_splitting)
        words, offsets, tags, widened = entities_to_tags(text, spans, reading.word_splitting)
        counts = (widened, in_address, beside, trimmed, dropped)
        for what, count in zip(_TOLD, counts, strict=True):
            changed[what] += [row.source] * count
        examples.append(
            NerExample(
                words=words,
                tags=tags,
                source=row.source,
                text=text,
                offsets=offsets,
                row_id=row_id,
            )
        )
    hint = None
    if faulty or changed["widened"]:
        hint = offsets_hint(rows, reading.entity_offsets)
    if faulty and hint:
        faulty[0] += f"; {hint}"
    problems += faulty
    for what, told in _TOLD.items():
        if sources := changed[what]:
            more = f"; {hint}" if hint and what == "widened" else ""
            notices.append(
                f"{file_of(sources[0])}: {len(sources):,} of the entities {told}, "
                f"first at {sources[0]}{more}"
            )
    return examples
