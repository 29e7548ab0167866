"""Entities of a text as files write them -> character spans that agree with the text."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.data.rows import Row, plain_text, shown, surrogate_fault
from lowcost_ft.tasks.ner.entity_offsets import Entity, agreeing_spans
from lowcost_ft.tasks.ner.tagging import Span
from lowcost_ft.tasks.ner.word_splitting import split_words

__all__ = [
    "ENDS",
    "ENTITY_FORM",
    "LABELS",
    "OWN_TEXTS",
    "STARTS",
    "Entity",
    "agreeing_spans",
    "clean_spans",
    "entity_id_fault",
    "read_entities",
    "with_whole_addresses",
]

ENTITY_FORM = '{"start": 0, "end": 4, "label": "person"}'

STARTS = ("start", "start_offset", "start_char", "start_index", "begin")
ENDS = ("end", "end_offset", "end_char", "end_index", "stop")
LABELS = ("label", "entity_group", "entity_type", "type", "tag", "entity")
OWN_TEXTS = ("text", "word", "surface", "value", "mention", "surface_form", "entity_text")


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
        **lists: `problems`, which gets a line for each problem, and `elsewhere`, which gets one for
            each entity whose own text does not stand in the row's text.
    """
    problems: list[str] = lists["problems"]
    elsewhere: list[str] = lists.get("elsewhere", [])
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
            if words is not None and key != "text" and plain_text(words) not in plain_text(text):
                elsewhere.append(f"{row.source}: {shown(key)} is {shown(words)}")
                words = None
            entities.append(Entity(start, end, label.strip(), words))
        else:
            problems.append(
                f"{row.source}: entity {shown(given)} must be of the form {ENTITY_FORM}"
            )
    return entities


def entity_id_fault(value: Any) -> str | None:
    """What keeps a value from being the id that relations name an entity by; None for an id."""
    if isinstance(value, str | int | float):
        return None
    return f"an entity has the id {shown(value)}; it must be a number or a text"


def _parts(given: Any, source: str, found: dict[str, str]) -> tuple[Any, Any, Any, tuple[str, Any]]:
    if isinstance(given, list | tuple) and len(given) == 3:
        found.setdefault("[start, end, label]", source)
        return *given, ("", None)
    if not isinstance(given, dict):
        return None, None, None, ("", None)
    parts = []
    for keys in (STARTS, ENDS, LABELS):
        key = next((key for key in keys if given.get(key) is not None), keys[0])
        if key != keys[0]:
            found.setdefault(f'"{key}" as {keys[0]}', source)
        parts.append(given.get(key))
    own = next((key for key in OWN_TEXTS if isinstance(given.get(key), str) and given[key]), "")
    return parts[0], parts[1], parts[2], (own, given.get(own))


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
