"""Entities of a text as files write them -> character spans that agree with the text."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from lowcost_ft.data.rows import Row, counted, file_of, shown, surrogate_fault
from lowcost_ft.tasks.ner.tagging import Span
from lowcost_ft.tasks.ner.word_splitting import split_words

__all__ = [
    "ENTITY_FORM",
    "ENTITY_OFFSETS",
    "Entity",
    "agreeing_spans",
    "clean_spans",
    "read_entities",
    "with_whole_addresses",
]

ENTITY_FORM = '{"start": 0, "end": 4, "label": "person"}'

ENTITY_OFFSETS = ("characters", "utf16", "bytes", "inclusive", "text")
"""What offsets may count; "text" is: find each entity's own text near them."""

_STARTS = ("start", "start_offset", "start_char", "start_index", "begin")
_ENDS = ("end", "end_offset", "end_char", "end_index", "stop")
_LABELS = ("label", "entity_group", "entity_type", "type", "tag", "entity")
_OWN_TEXTS = ("text", "word", "surface", "value", "mention", "surface_form", "entity_text")


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity as a file has it.

    Attributes:
        start: Its start, in whatever the file counts.
        end: Its end.
        label: Its type.
        own: The text that the file says it has; None without one.
    """

    start: int
    end: int
    label: str
    own: str | None = None


def read_entities(
    row: Row, column: str, *, text: str, names: Sequence[str], found: dict[str, str], **lists: Any
) -> list[Entity]:
    """Reads the entities of a row: a list of objects or of [start, end, label].

    Args:
        row: The row.
        column: Where the entities stand.
        text: The row's text.
        names: Names of types that are given as the numbers 0, 1, 2, ...; empty without them.
        found: Gets what was read under another name than `ENTITY_FORM` has: key -> place.
        **lists: `problems`, which gets a line for each problem.
    """
    problems: list[str] = lists["problems"]
    value = row.values.get(column)
    if isinstance(value, dict) and "entities" in value:
        value = value["entities"]  # spaCy's second of two
    if not isinstance(value, list | tuple):
        kind = "is missing" if value is None else f"is {shown(value)}"
        problems.append(
            f"{row.source}: {shown(column)} {kind}; give a list of {ENTITY_FORM}, empty if the "
            f"text has none"
        )
        return []
    entities = []
    for given in value:
        start, end, label, own = _parts(given, row.source, found)
        if names and type(label) is int and 0 <= label < len(names):
            label = names[label]
        # `type`, because True is an int to isinstance.
        if type(start) is int and type(end) is int and isinstance(label, str) and label.strip():
            if fault := surrogate_fault(label):
                problems.append(f"{row.source}: label {shown(label)} of an entity {fault}")
            key, words = own
            # Other fields than "text" may hold another form: a lemma, a date in digits.
            surface = isinstance(words, str) and (key == "text" or _plain(words) in _plain(text))
            entities.append(Entity(start, end, label.strip(), words if surface else None))
        else:
            problems.append(
                f"{row.source}: entity {shown(given)} must be of the form {ENTITY_FORM}"
            )
    return entities


def _parts(given: Any, source: str, found: dict[str, str]) -> tuple[Any, Any, Any, tuple[str, Any]]:
    if isinstance(given, list | tuple) and len(given) == 3:
        found.setdefault("[start, end, label]", source)
        return *given, ("", None)
    if not isinstance(given, dict):
        return None, None, None, ("", None)
    parts = []
    for keys in (_STARTS, _ENDS, _LABELS):
        key = next((key for key in keys if given.get(key) is not None), keys[0])
        if key != keys[0]:
            found.setdefault(f'"{key}" as {keys[0]}', source)
        parts.append(given.get(key))
    own = next((key for key in _OWN_TEXTS if isinstance(given.get(key), str) and given[key]), "")
    return parts[0], parts[1], parts[2], (own, given.get(own))


# --- Offsets ------------------------------------------------------------------------------------

_WHAT = {
    "utf16": "UTF-16 code units, as JavaScript and Java count",
    "bytes": "bytes of UTF-8",
    "inclusive": "characters, with the end inside the entity",
}


def _by_units(entity: Entity, text: str, sizes: Callable[[int], int]) -> Entity | None:
    """The entity in characters; None if an offset is not the border of one."""
    at = {
        units: position
        for position, units in enumerate(accumulate((sizes(ord(c)) for c in text), initial=0))
    }
    if entity.start not in at or entity.end not in at:
        return None
    return replace(entity, start=at[entity.start], end=at[entity.end])


def _utf16(code: int) -> int:
    return 1 + (code > 0xFFFF)


def _utf8(code: int) -> int:
    return 1 + (code > 0x7F) + (code > 0x7FF) + (code > 0xFFFF)


def _nearest(entity: Entity, text: str) -> Entity | None:
    """Where the entity's own text stands nearest to its start; None if nowhere, or at two."""
    if not entity.own:
        return None
    places = []
    place = text.find(entity.own)
    while place >= 0:
        places.append(place)
        place = text.find(entity.own, place + 1)
    places.sort(key=lambda place: abs(place - entity.start))
    if not places or (
        len(places) > 1 and abs(places[0] - entity.start) == abs(places[1] - entity.start)
    ):
        return None
    return replace(entity, start=places[0], end=places[0] + len(entity.own))


def _converted(entity: Entity, text: str, offsets: str) -> Entity | None:
    if offsets == "utf16":
        return _by_units(entity, text, _utf16)
    if offsets == "bytes":
        return _by_units(entity, text, _utf8)
    if offsets == "inclusive":
        return replace(entity, end=entity.end + 1)
    return _nearest(entity, text) if offsets == "text" else entity


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _agrees(entity: Entity | None, text: str) -> bool:
    if entity is None:
        return False
    if entity.own is None:
        return True
    inside = 0 <= entity.start < entity.end <= len(text)
    return inside and _plain(text[entity.start : entity.end]) == _plain(entity.own)


def agreeing_spans(
    rows: Sequence[tuple[str, str, list[Entity]]], offsets: str, problems: list[str]
) -> list[list[Span] | None]:
    """Converts offsets to characters and compares each entity's own text with what they cut out.

    Args:
        rows: Source, text and entities of each row of a file.
        offsets: What the file counts, a value of `--entity-offsets`.
        problems: Gets a line where texts disagree, with what likely is the cause.

    Returns:
        The spans of each row, None where there is a problem.
    """
    spans: list[list[Span] | None] = []
    wrong: list[tuple[str, str, Entity, Entity | None]] = []
    for source, text, entities in rows:
        converted = [_converted(entity, text, offsets) for entity in entities]
        faults = [
            (source, text, entity, new)
            for entity, new in zip(entities, converted, strict=True)
            if not _agrees(new, text)
        ]
        wrong += faults
        kept = [(new.start, new.end, new.label) for new in converted if new is not None]
        spans.append(None if faults else kept)
    if wrong:
        problems.append(_disagreement(rows, wrong, offsets))
    return spans


def _disagreement(
    rows: Sequence[tuple[str, str, list[Entity]]],
    wrong: Sequence[tuple[str, str, Entity, Entity | None]],
    offsets: str,
) -> str:
    source, text, entity, new = wrong[0]
    where = f"{counted(len(wrong), 'entity') if len(wrong) == 1 else f'{len(wrong):,} entities'}"
    told = f'{source}: entity {entity.start}..{entity.end} "{entity.label}"'
    if entity.own is None and new is None:
        told += (
            " has no text of its own to be found by"
            if offsets == "text"
            else f" does not begin and end at characters of its text, counted by {offsets}"
        )
    elif new is None:
        told += f" has the text {shown(entity.own)}, which cannot be placed in the row's text"
    else:
        cut = text[max(new.start, 0) : max(new.end, 0)]
        told += f" has the text {shown(entity.own)}, but its offsets cut out {shown(cut)}"
    told += f" ({where} of {file_of(source)} disagree with their offsets)"
    for other in ("characters", "utf16", "bytes", "inclusive"):
        if other != offsets and _all_agree(rows, other):
            if other == "characters":
                return f"{told}; the offsets count characters: leave out --entity-offsets"
            return f"{told}; the offsets count {_WHAT[other]}: give --entity-offsets {other}"
    if offsets != "text" and _all_agree(rows, "text"):
        shifts = {
            found.start - entity.start
            for _, text, entity, _ in wrong
            if (found := _nearest(entity, text)) is not None
        }
        cause = "the offsets were counted in another form of the text"
        if len(shifts) == 1 and (shift := shifts.pop()):
            cause = (
                f"the offsets are shifted by {-shift}, as by a blank or byte order mark at the "
                f"text's begin, or line ends counted as two"
            )
        return f"{told}; {cause}: give --entity-offsets text to find each entity by its own text"
    return f"{told}; correct the offsets or the entity's text"


def _all_agree(rows: Sequence[tuple[str, str, list[Entity]]], offsets: str) -> bool:
    return all(
        _agrees(_converted(entity, text, offsets), text)
        for _, text, entities in rows
        for entity in entities
    )


# --- Spans that say too much --------------------------------------------------------------------


def clean_spans(text: str, spans: Sequence[Span]) -> tuple[list[Span], int, int]:
    """Trims blanks from the ends of spans and drops what occurs twice.

    Returns:
        The spans in their order, how many were trimmed, how many were dropped.
    """
    cleaned: dict[Span, None] = {}
    trimmed = 0
    for start, end, label in spans:
        inside = text[start:end] if 0 <= start < end <= len(text) else ""
        if inside.strip():
            first = start + len(inside) - len(inside.lstrip())
            last = end - len(inside) + len(inside.rstrip())
            trimmed += (first, last) != (start, end)
            start, end = first, last
        cleaned[start, end, label] = None
    return list(cleaned), trimmed, len(spans) - len(cleaned)


def with_whole_addresses(
    text: str, spans: Sequence[Span], rule: str
) -> tuple[list[Span], int, int]:
    """Widens spans that begin or end inside a web or e-mail address to all of it.

    An address has one tag, as every word. Where several spans share one, the first has it, and the
    others are left out: which words a text has must not depend on where its entities are.

    Args:
        text: The text.
        spans: Spans without `span_problems`, by the first rule.
        rule: The rule that cuts words; by the first one an address is no word.

    Returns:
        The spans, how many were widened, how many were left out.
    """
    addresses = sorted(set(split_words(text, rule)) - set(split_words(text, "unicode-v1")))
    if not addresses:
        return list(spans), 0, 0
    kept: list[Span] = []
    widened = left_out = 0
    for span in sorted(spans):
        start, end, label = span
        for first, last in addresses:
            start = first if first < start < last else start
            end = last if first < end < last else end
        if kept and start < kept[-1][1]:
            left_out += 1
        else:
            widened += (start, end, label) != span
            kept.append((start, end, label))
    return kept, widened, left_out
