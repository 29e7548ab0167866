"""Entities and tags as rows hold them, for those who check or edit what a file says."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.findings import Edit
from lowcost_ft.data.rows import Row
from lowcost_ft.scores.iob2 import Span
from lowcost_ft.tasks.ner.entity_offsets import Entity, in_characters, in_units
from lowcost_ft.tasks.ner.entity_spans import ENDS, LABELS, OWN_TEXTS, STARTS
from lowcost_ft.tasks.ner.examples import NerExample

__all__ = [
    "entities_column",
    "moved",
    "place_of",
    "read_place",
    "renamed",
    "rewritten",
    "stands_at",
    "tag_name",
    "tags_column",
    "text_of",
    "with_places",
    "without_id",
]

_TAGS = ("tags", "ner_tags", "ner", "labels")
_ENTITIES = ("entities", "spans", "label", "labels")


def _key(entity: dict[str, Any], names: Sequence[str]) -> str:
    """What an entity calls one of its parts; the usual name where it lacks that."""
    return next((name for name in names if entity.get(name) is not None), names[0])


def place_of(entity: Any) -> tuple[int, int, str] | None:
    if isinstance(entity, list | tuple) and len(entity) == 3:
        start, end, label = entity
    elif isinstance(entity, dict):
        start, end = entity.get(_key(entity, STARTS)), entity.get(_key(entity, ENDS))
        label = entity.get(_key(entity, LABELS), "")
    else:
        return None
    return (start, end, str(label)) if type(start) is int and type(end) is int else None


def read_place(entity: Any, text: str, offsets: str) -> tuple[int, int] | None:
    """Where an entity stands, in characters.

    Args:
        entity: The entity as the file has it.
        text: Its text.
        offsets: What the file counts, a value of `--entity-offsets`.
    """
    if (place := place_of(entity)) is None:
        return None
    own = entity.get("text") if isinstance(entity, dict) else None
    given = Entity(*place, own if isinstance(own, str) else None)
    found = in_characters(given, text, offsets)
    return None if found is None else (found.start, found.end)


def moved(
    entity: Any, text: str, start: int, end: int, label: str | None = None, *, offsets: str
) -> Any:
    """An entity in the file's own form and units, at another place, which is in characters."""
    first, last = in_units(start, end, text, offsets)
    if not isinstance(entity, dict):
        return [first, last, entity[2] if label is None else label]
    changed = dict(entity)
    changed[_key(entity, STARTS)] = first
    changed[_key(entity, ENDS)] = last
    old = read_place(entity, text, offsets)
    for name in OWN_TEXTS:  # Another form of the words, such as a lemma, stays.
        if name == "text" or (old is not None and entity.get(name) == text[slice(*old)]):
            changed |= {name: text[start:end]} if name in entity else {}
    # Numbers of tokens would be those of the old place.
    for name in ("token_start", "token_end"):
        changed.pop(name, None)
    if label is not None:
        changed[_key(entity, LABELS)] = label
    return changed


def without_id(entity: Any) -> Any:
    """The form of an entity, without what only that one has."""
    if not isinstance(entity, dict):
        return entity
    return {key: entity[key] for key in (*STARTS, *ENDS, *LABELS, "text") if key in entity}


def rewritten(entity: Any, example: NerExample, span: Span, offsets: str) -> Any:
    assert example.offsets is not None and example.text is not None
    start, end = example.offsets[span[0]][0], example.offsets[span[1] - 1][1]
    return moved(entity, example.text, start, end, span[2], offsets=offsets)


def renamed(entity: Any, example: NerExample, label: str, offsets: str) -> Any:
    """An entity with another type, where it stands."""
    assert example.text is not None
    place = read_place(entity, example.text, offsets)
    assert place is not None
    return moved(entity, example.text, *place, label, offsets=offsets)


def with_places(row: Row, example: NerExample, edits: Sequence[Edit]) -> dict[str, Any]:
    """The entities of a row of words, as GLiNER has them, edited as its tags are; {} for others."""
    entities, text = row.values.get("entities"), " ".join(example.words)
    if not isinstance(entities, list) or row.values.get("text") != text:
        return {}
    starts = list(accumulate((len(word) + 1 for word in example.words), initial=0))

    def place(span: Span) -> tuple[int, int, str]:
        return starts[span[0]], starts[span[1]] - 1, span[2]

    found = list(entities)
    for old, new in edits:
        at = [i for i, one in enumerate(found) if old and place_of(one) == place(old)]
        if new is None:
            found = [one for i, one in enumerate(found) if i not in at]
        elif at:
            start, end, label = place(new)
            found[at[0]] = moved(found[at[0]], text, start, end, label, offsets="characters")
        elif old is None:
            start, end, label = place(new)
            found.append({"start": start, "end": end, "label": label})
    return {"entities": found}


def stands_at(entity: Any, example: NerExample, span: Span | None, offsets: str) -> bool:
    assert example.offsets is not None and example.text is not None
    place = read_place(entity, example.text, offsets)
    if span is None or place is None:
        return False
    return example.offsets[span[0]][0] < place[1] and place[0] < example.offsets[span[1] - 1][1]


def entities_column(row: Row, reading: ReadingOptions) -> str | None:
    names = (reading.tags_column,) if reading.tags_column is not None else _ENTITIES
    return _column(row, names, lambda one: place_of(one) is not None, empty=text_of(row, reading))


def tags_column(row: Row, reading: ReadingOptions, *, numbers: bool = False) -> str | None:
    """The column of a row's tags.

    Args:
        row: The row.
        reading: How it is read.
        numbers: Whether tags may be numbers.
    """
    kinds = (str, int) if numbers else str
    names = (reading.tags_column,) if reading.tags_column is not None else _TAGS
    return _column(row, names, lambda one: isinstance(one, kinds), empty=None)


def tag_name(tag: Any, names: Sequence[str]) -> Any:
    """A tag by its number among `--label-names`, where it is one."""
    return names[tag] if type(tag) is int and 0 <= tag < len(names) else tag


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
