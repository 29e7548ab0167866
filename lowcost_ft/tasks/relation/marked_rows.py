"""Rows that name one pair of entities of a text: by offsets, or by `<e1>` tags."""

import re
from collections.abc import Sequence
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.rows import Row, counted, file_of, read_text, shown
from lowcost_ft.tasks.ner.entity_offsets import Entity, agreeing_spans, in_units, offsets_hint
from lowcost_ft.tasks.ner.tagging import Span
from lowcost_ft.tasks.ner.word_splitting import split_words
from lowcost_ft.tasks.relation.examples import Mention, Pair

__all__ = ["PLACE_FORM", "TAG_FORM", "Texts", "add_pair", "inside", "read_offsets", "read_tags"]
__all__ += ["tell_cut", "tell_trimmed", "untagged", "word_places"]

PLACE_FORM = '{"start": 0, "end": 3, "type": "person"}'
TAG_FORM = "<e1>Ada</e1> works for <e2>Acme</e2>"

_TAG = re.compile(r"<(/?)(e[12])(?::([^<>]*))?>", re.IGNORECASE)
_SIDES = ("head", "tail")

Texts = list[tuple[Row, str, Pair]]
"""Each row with its text and the pair in it."""


def read_offsets(
    rows: Sequence[Row],
    column: str,
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
) -> Texts:
    """Rows with a text and, in `head` and `tail`, the characters where the entities stand."""
    read: list[tuple[Row, str, list[Entity], list[str | None]]] = []
    looked_up: list[str] = []
    for row in rows:
        before = len(problems)
        text = read_text(row, column, problems)
        found = [_entity(row, side, text, reading.entity_offsets, problems) for side in _SIDES]
        looked_up += [row.source] * any(_words_alone(row.values.get(side)) for side in _SIDES)
        if text is not None and len(problems) == before:
            entities = [entity for entity, _ in found if entity is not None]
            read.append((row, text, entities, [kind for _, kind in found]))
    given = [(row.source, text, entities) for row, text, entities, _ in read]
    spans = agreeing_spans(given, reading.entity_offsets, problems)
    tell_cut(given, spans, reading.entity_offsets, notices)
    texts: Texts = []
    trimmed: list[str] = []
    for (row, text, _, kinds), ends in zip(read, spans, strict=True):
        if ends is None:
            continue
        mentions = [
            inside(row, text, start, end, kind, name=side, problems=problems, trimmed=trimmed)
            for side, (start, end, _), kind in zip(_SIDES, ends, kinds, strict=True)
        ]
        add_pair(texts, row, text, mentions, problems)
    tell_trimmed(rows, trimmed, notices)
    if looked_up and texts:
        notices.append(
            f"{file_of(looked_up[0])}: head or tail of {counted(len(looked_up), 'row')} do not say "
            f"where they stand, and their text has them once: they are taken there, first "
            f"{looked_up[0]}"
        )
    return texts


def _entity(
    row: Row, side: str, text: str | None, offsets: str, problems: list[str]
) -> tuple[Entity | None, str | None]:
    value = row.values.get(side)
    words = _words_alone(value)
    if words is not None and text is not None:
        places = word_places(words, text)
        if len(places) != 1:
            count = f"{len(places):,} times" if places else "nowhere"
            problems.append(
                f"{row.source}: {shown(side)} is {shown(words)}, which the text has {count}; say "
                f"which characters of the text it is, as in {PLACE_FORM}, the end exclusive"
            )
            return None, None
        first, last = in_units(*places[0], text, offsets)
        given = value if isinstance(value, dict) else {}
        value = given | {"start": first, "end": last, "text": words}
    if isinstance(value, list | tuple) and len(value) == 2:
        value = {"start": value[0], "end": value[1]}
    start, end = (value.get(k) for k in ("start", "end")) if isinstance(value, dict) else (0, None)
    if not isinstance(value, dict) or type(start) is not int or type(end) is not int:
        told = "is missing" if value is None else f"is {shown(value)}"
        problems.append(
            f"{row.source}: {shown(side)} {told}; say which characters of the text it is, as in "
            f"{PLACE_FORM}, the end exclusive"
        )
        return None, None
    kind = next((value[key] for key in ("type", "label") if value.get(key) is not None), None)
    if kind is not None and not isinstance(kind, str):
        problems.append(f"{row.source}: the type of {shown(side)} is {shown(kind)}, not a text")
    own = value.get("text")
    return Entity(start, end, side, own if isinstance(own, str) and own else None), kind or None


def _words_alone(value: Any) -> str | None:
    """The words of an entity whose place is not said; None for other entities."""
    if isinstance(value, dict) and "start" not in value and "end" not in value:
        value = value.get("text")
    return (value.strip() or None) if isinstance(value, str) else None


def word_places(words: str, text: str) -> list[tuple[int, int]]:
    """Where some words stand in a text; as parts of longer ones only if they stand so alone."""
    borders = {border for word in split_words(text, "unicode-v1") for border in word}
    starts = (one.start() for one in re.finditer(f"(?={re.escape(words)})", text))
    found = [(start, start + len(words)) for start in starts]
    return [place for place in found if borders.issuperset(place)] or found


def inside(
    row: Row,
    text: str,
    start: int,
    end: int,
    kind: str | None,
    *,
    name: str,
    problems: list[str],
    trimmed: list[str],
    id: str | int | None = None,
) -> Mention | None:
    """An entity that lies in the text and begins and ends with a visible character."""
    if not 0 <= start < end <= len(text):
        empty = 0 <= start == end <= len(text)
        told = "is empty" if empty else f"is not inside the text of {len(text):,} characters"
        problems.append(f"{row.source}: {name} {start}..{end} {told}; correct start and end")
        return None
    words = text[start:end]
    if not words.strip():
        problems.append(
            f"{row.source}: {name} {start}..{end} covers only white space; correct start and end"
        )
        return None
    if words != words.strip():
        trimmed.append(row.source)
        start += len(words) - len(words.lstrip())
        end = start + len(words.strip())
    return Mention(start=start, end=end, type=(kind or "").strip() or None, id=id)


def tell_cut(
    read: Sequence[tuple[str, str, list[Entity]]],
    spans: Sequence[Sequence[Span] | None],
    offsets: str,
    notices: list[str],
) -> None:
    """Says how many entities begin or end inside a word, and what their offsets may count.

    Args:
        read: Source, text and entities of each row, as the file has them.
        spans: The places of these in characters.
        offsets: What the file counts.
        notices: Gets a line where there are such entities.
    """
    cut: list[str] = []
    for (source, text, _), places in zip(read, spans, strict=True):
        words = split_words(text, "unicode-v1") if places else []
        borders = {border for word in words for border in word}
        cut += [source for start, end, _ in places or () if not {start, end} <= borders]
    if cut:
        count = (
            "1 entity begins or ends" if len(cut) == 1 else f"{len(cut):,} entities begin or end"
        )
        hint = offsets_hint(read, offsets)
        notices.append(
            f"{file_of(cut[0])}: {count} inside a word, first at {cut[0]}"
            + (f"; {hint}" if hint else "")
        )


def tell_trimmed(rows: Sequence[Row], trimmed: Sequence[str], notices: list[str]) -> None:
    """Says how many entities lost the white space at their ends."""
    if trimmed:
        count = f"{len(trimmed):,} {'entity' if len(trimmed) == 1 else 'entities'}"
        notices.append(
            f"{file_of(rows[0].source)}: {count} with white space at an end, which was cut off, "
            f"first at {trimmed[0]}"
        )


def add_pair(
    texts: Texts, row: Row, text: str, mentions: Sequence[Mention | None], problems: list[str]
) -> None:
    """Adds a row whose head and tail could both be read, unless they are the same characters."""
    head, tail = mentions
    if head is None or tail is None:
        return
    if (head.start, head.end) == (tail.start, tail.end):
        problems.append(
            f"{row.source}: head and tail are the same characters, {head.start}..{head.end}; a "
            f"relation joins two entities"
        )
    else:
        texts.append((row, text, (head, tail)))


# --- Tags ----------------------------------------------------------------------------------------


def untagged(text: str) -> tuple[str, Pair] | str | None:
    """A text without its `<e1>` and `<e2>` tags, and the pair that they marked.

    A tag may name the entity's type: `<e1:person>Ada</e1>`.

    Returns:
        Text and pair; what is wrong with the tags; or None for a text without any.
    """
    pieces: list[str] = []
    length, done = 0, 0
    opened: dict[str, tuple[int, str]] = {}
    closed: dict[str, Mention] = {}
    for tag in _TAG.finditer(text):
        pieces.append(text[done : tag.start()])
        length += tag.start() - done
        done = tag.end()
        slash, name, kind = tag.group(1), tag.group(2).lower(), (tag.group(3) or "").strip()
        if not slash:
            if name in opened:
                return f"has a second <{name}>"
            opened[name] = (length, kind)
        elif name not in opened or name in closed:
            return f"has a </{name}> without its <{name}>"
        else:
            closed[name] = Mention(start=opened[name][0], end=length, type=opened[name][1] or None)
    if not opened:
        return None
    pieces.append(text[done:])
    if missing := [name for name in ("e1", "e2") if name not in closed]:
        return f"lacks <{missing[0]}>...</{missing[0]}>"
    return "".join(pieces), (closed["e1"], closed["e2"])


def read_tags(
    rows: Sequence[Row], column: str, *, problems: list[str], notices: list[str]
) -> tuple[Texts, list[tuple[Row, str]]]:
    """Rows whose text marks its pair with `<e1>..</e1>` and `<e2>..</e2>`.

    Returns:
        The marked ones, and the texts without any tag.
    """
    texts: Texts = []
    plain: list[tuple[Row, str]] = []
    trimmed: list[str] = []
    for row in rows:
        text = read_text(row, column, problems)
        found = None if text is None else untagged(text)
        if text is None:
            continue
        if found is None:
            plain.append((row, text))
        elif isinstance(found, str):
            problems.append(f"{row.source}: {shown(column)} {found}; mark a pair as {TAG_FORM}")
        else:
            bare, pair = found
            ends: dict[str, Any] = {"problems": problems, "trimmed": trimmed}
            mentions = [
                inside(row, bare, one.start, one.end, one.type, name=name, **ends)
                for name, one in zip(("<e1>", "<e2>"), pair, strict=True)
            ]
            add_pair(texts, row, bare, mentions, problems)
    tell_trimmed(rows, trimmed, notices)
    return texts, plain
