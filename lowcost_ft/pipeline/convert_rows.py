"""Rows of any form -> rows in the package's own form, which `convert` writes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.config.arguments import is_missing
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.known_names import TEXT_NAMES
from lowcost_ft.data.rows import (
    Row,
    blank_rows,
    column_names,
    counted,
    file_of,
    find_column,
    listed,
    read_text,
    same_column,
    shown,
)
from lowcost_ft.pipeline.convert_relations import pair_rows, relations_of
from lowcost_ft.tasks.classification.examples import find_texts, names_text_pairs
from lowcost_ft.tasks.classification.row_classes import class_columns, read_classes
from lowcost_ft.tasks.relation.row_forms import with_cells

__all__ = ["canonical_rows"]

_SPAN_COLUMNS = ("entities", "spans", "label", "labels")


def canonical_rows(
    rows: Sequence[Row],
    reading: ReadingOptions,
    labelled: bool,
    problems: list[str],
    notices: list[str],
) -> tuple[list[dict[str, Any]], list[Row]]:
    """The rows with `text`, and where they have them `entities`, `relations`, `label` and more.

    Args:
        rows: The rows of one file.
        reading: How they are read.
        labelled: Whether labels are wanted.
        problems: Gets a line for each problem.
        notices: Gets a line for guesses, and for what is missing or left out.

    Returns:
        These rows, and those of the file that they were made from. Without labels, rows without a
        text are left out.
    """
    rows = _without_namesakes([with_cells(row) for row in rows], reading, notices)
    names = column_names(rows)
    no_text = reading.text_column is None and not any(
        same_column(names, name) for name in TEXT_NAMES
    )
    # Without labels, a text is kept as it stands, with the tags that mark its pair.
    if rows and (labelled or no_text):
        pairs = pair_rows(rows, reading, labelled, problems=problems, notices=notices)
        if pairs is not None:
            return pairs
    lists: dict[str, Any] = {"problems": problems, "notices": notices}
    text_column, second = None, None
    if reading.tokens_column is None and names_text_pairs(rows, reading):
        text_column, second = find_texts(rows, reading, problems, notices)
    elif no_text:
        from lowcost_ft.pipeline.convert_words import joined_words

        if labelled and reading.exclude_label is not None:
            problems.append(_nothing_to_exclude(rows))
            return [], rows
        return joined_words(rows, reading, labelled, **lists)
    else:
        text_column = find_column(rows, reading.text_column, TEXT_NAMES, "text", **lists)
    if text_column is None or problems:
        return [], rows
    if not labelled and second is None:
        blank = blank_rows(rows, text_column)
        rows = [row for row, is_blank in zip(rows, blank, strict=True) if not is_blank]
    # Beside words, a reader would take both for a tagged sentence.
    words = {"tokens", "tags"} if "tokens" in names else set()
    taken = {text_column, *words} | ({second} if second is not None else set())
    spans = reading.tags_column or next(
        (name for name in _SPAN_COLUMNS if name in names and _holds_spans(rows, name)), None
    )
    lone = spans is None and "relations" not in names and reading.tokens_column is None
    columns = class_columns(
        rows,
        reading,
        [name for name in (*taken, spans) if name is not None],
        may_be_flags=lone,
        **(lists if labelled else {"problems": [], "notices": []}),
    )
    classes: dict[str, Any] = {}
    if columns and labelled and not problems and (spans is None or _asks_for_classes(reading)):
        classes = read_classes(rows, columns, reading, **lists)
        rows = [row for row in rows if row.source in classes]
    elif columns:  # Beside entities, what looks like a class may be any field.
        classes = {row.source: row.values.get(columns[0]) for row in rows}
    elif labelled and reading.exclude_label is not None:
        problems.append(_nothing_to_exclude(rows))
    if problems:
        return [], rows
    if labelled and spans is None and not columns and rows:
        notices.append(
            f"{file_of(rows[0].source)}: no column of labels or entities, so that texts are "
            f"written without any; --label-column names one (the columns are {listed(names)})"
        )
    checked = _checked(rows, text_column, spans if labelled else None, reading, **lists)
    readable = not problems  # Without its entities, every relation would seem to join nothing.
    found = []
    for row, entities in zip(rows, checked, strict=True):
        values: dict[str, Any] = {} if "id" not in row.values else {"id": row.values["id"]}
        values["text"] = str(row.values.get(text_column, ""))
        if second is not None:
            values["text_pair"] = read_text(row, second, problems)
        if spans is not None and labelled:
            values["entities"] = entities
        if labelled and readable and "relations" in row.values:
            values["relations"] = relations_of(row, spans, entities, problems)
        if columns and labelled and (len(columns) > 1 or columns[0] in row.values):
            values["label"] = classes[row.source]
        known = {*taken, spans, *columns, *values} | (set() if labelled else {"relations"})
        found.append(values | {n: v for n, v in row.values.items() if n not in known})
    others = [row.source for row in rows if not _are_words_of(row, text_column)]
    if others:
        notices.append(
            f'{file_of(rows[0].source)}: "tokens" of {counted(len(others), "row")}, which are not '
            f"the words of the text, left out, first {others[0]}"
        )
    return found, rows


def _without_namesakes(
    rows: Sequence[Row], reading: ReadingOptions, notices: list[str]
) -> list[Row]:
    """Rows whose fields `entities` and `relations` hold some; others get another name.

    A list of words, or a number, would be taken for spans or pairs where it is written.
    """
    for name in ("entities", "relations"):
        first = next((row.source for row in rows if not is_missing(row.values.get(name))), None)
        if first is None or name == reading.tags_column or _holds_spans(rows, name):
            continue
        new = f"{name}_field"
        while any(new in row.values for row in rows):
            new += "_"
        rows = [
            replace(row, values={new if n == name else n: v for n, v in row.values.items()})
            for row in rows
        ]
        notices.append(
            f'{file_of(first)}: "{name}" holds no {_HELD[name]} and is written as "{new}", first '
            f"{first}"
        )
    return list(rows)


_HELD = {"entities": "spans", "relations": "pairs of entities"}


def _are_words_of(row: Row, column: str) -> bool:
    """Whether a row has no tokens but the words of its text, which is written."""
    tokens = row.values.get("tokens")
    if tokens is None:
        return True
    items = tokens if isinstance(tokens, list | tuple) else [tokens]
    words = [str(one.get("text") if isinstance(one, dict) else one) for one in items]
    return "".join("".join(words).split()) == "".join(str(row.values.get(column)).split())


def _nothing_to_exclude(rows: Sequence[Row]) -> str:
    return (
        f"{file_of(rows[0].source)}: --exclude-label leaves out rows by their class, and no "
        f"column holds one; leave the flag out, or name the column with --label-column"
    )


def _asks_for_classes(reading: ReadingOptions) -> bool:
    names = ("label_column", "label_columns", "label_separator", "exclude_label", "problem_type")
    return reading.decimal_comma or any(getattr(reading, name) is not None for name in names)


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
    from lowcost_ft.tasks.ner.entity_spans import agreeing_spans, entity_id_fault, read_entities

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
            name = f"T{number}" if own.get("id") is None else own["id"]
            if fault := entity_id_fault(name):
                problems.append(f"{source}: {fault}")
                continue
            place = {"id": name, "start": start, "end": end, "label": label}
            place |= {"text": text[start:end]} if "text" in own else {}
            entities.append(place | {n: v for n, v in own.items() if n not in (*place, *_KEYS)})
        found.append(entities)
    if blank:
        one = len(blank) == 1
        told = "1 entity" if one else f"{len(blank):,} entities"
        notices.append(
            f"{file_of(rows[0].source)}: {told} with a blank at an edge kept as "
            f"{'it is' if one else 'they are'} (training cuts it off), first {blank[0]}"
        )
    return found


_KEYS = (
    *("start_offset", "start_char", "start_index", "begin", "end_offset", "end_char"),
    *("end_index", "stop", "entity_group", "entity_type", "type", "tag", "entity"),
)
"""Other names of what is written as start, end and label."""
