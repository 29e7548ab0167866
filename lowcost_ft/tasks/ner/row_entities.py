"""Entities and tags as rows hold them, for those who check or edit what a file says."""

from collections.abc import Callable, Sequence
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.rows import Row
from lowcost_ft.scores.iob2 import Span
from lowcost_ft.tasks.ner.examples import NerExample

__all__ = [
    "entities_column",
    "moved",
    "place_of",
    "rewritten",
    "stands_at",
    "tags_column",
    "text_of",
    "without_id",
]

_STARTS, _ENDS = ("start", "start_offset"), ("end", "end_offset")
_TAGS = ("tags", "ner_tags", "ner", "labels")
_ENTITIES = ("entities", "spans", "label", "labels")


def place_of(entity: Any) -> tuple[int, int, str] | None:
    if isinstance(entity, list | tuple) and len(entity) == 3:
        start, end, label = entity
    elif isinstance(entity, dict):
        start = next((entity[k] for k in _STARTS if k in entity), None)
        end = next((entity[k] for k in _ENDS if k in entity), None)
        label = entity.get("label", "")
    else:
        return None
    return (start, end, str(label)) if type(start) is int and type(end) is int else None


def moved(entity: Any, text: str, start: int, end: int, label: str | None = None) -> Any:
    """An entity in the file's own form, at another place."""
    if not isinstance(entity, dict):
        return [start, end, entity[2] if label is None else label]
    changed = dict(entity)
    changed[next(k for k in _STARTS if k in entity)] = start
    changed[next(k for k in _ENDS if k in entity)] = end
    if "text" in entity:
        changed["text"] = text[start:end]
    # Numbers of tokens would be those of the old place.
    for name in ("token_start", "token_end"):
        changed.pop(name, None)
    if label is not None:
        changed[next((k for k in ("label", "type") if k in entity), "label")] = label
    return changed


def without_id(entity: Any) -> Any:
    """The form of an entity, without what only that one has."""
    if not isinstance(entity, dict):
        return entity
    return {
        key: entity[key] for key in (*_STARTS, *_ENDS, "label", "type", "text") if key in entity
    }


def rewritten(entity: Any, example: NerExample, span: Span) -> Any:
    assert example.offsets is not None and example.text is not None
    start, end = example.offsets[span[0]][0], example.offsets[span[1] - 1][1]
    return moved(entity, example.text, start, end, span[2])


def stands_at(entity: Any, example: NerExample, span: Span | None) -> bool:
    place = place_of(entity)
    if span is None or place is None:
        return False
    assert example.offsets is not None
    return example.offsets[span[0]][0] < place[1] and place[0] < example.offsets[span[1] - 1][1]


def entities_column(row: Row, reading: ReadingOptions) -> str | None:
    names = (reading.tags_column,) if reading.tags_column is not None else _ENTITIES
    return _column(row, names, lambda one: place_of(one) is not None, empty=text_of(row, reading))


def tags_column(row: Row, reading: ReadingOptions) -> str | None:
    names = (reading.tags_column,) if reading.tags_column is not None else _TAGS
    return _column(row, names, lambda one: isinstance(one, str), empty=None)


def _column(
    row: Row, names: Sequence[str], fits: Callable[[Any], bool], *, empty: str | None
) -> str | None:
    for name in names:
        value = row.values.get(name)
        if (
            isinstance(value, list | tuple)
            and (empty is not None or value)
            and all(map(fits, value))
        ):
            return name
    return None


def text_of(row: Row, reading: ReadingOptions) -> str | None:
    names = [reading.text_column] if reading.text_column else ["text", "sentence", "content"]
    names += ["message"] * (reading.text_column is None)
    return next((v for name in names if isinstance(v := row.values.get(name), str)), None)
