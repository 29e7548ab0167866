"""What the offsets of entities count, and whether they agree with the entities' own texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from lowcost_ft.data.rows import file_of, plain_text, shown
from lowcost_ft.tasks.ner.tagging import Span
from lowcost_ft.tasks.ner.word_splitting import split_words

__all__ = ["Entity", "agreeing_spans", "in_characters", "in_units", "offsets_hint"]


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


_MANY_TO_SHIFT = 3
"""Entities from which on a shift that makes all of them right is no accident."""

_LONGEST_SHIFT = 3

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


def in_units(start: int, end: int, text: str, offsets: str) -> tuple[int, int]:
    """A place in characters as a file has it that counts otherwise."""
    sizes = {"utf16": _utf16, "bytes": _utf8}.get(offsets)
    if sizes is not None:
        first = sum(sizes(ord(c)) for c in text[:start])
        return first, first + sum(sizes(ord(c)) for c in text[start:end])
    return start, end - (offsets == "inclusive")


def in_characters(entity: Entity, text: str, offsets: str) -> Entity | None:
    """An entity of a file in characters; None where it has no place there.

    Args:
        entity: The entity, in whatever the file counts.
        text: Its text.
        offsets: What that is, a value of `--entity-offsets`.
    """
    if offsets == "utf16":
        return _by_units(entity, text, _utf16)
    if offsets == "bytes":
        return _by_units(entity, text, _utf8)
    if offsets == "inclusive":
        return replace(entity, end=entity.end + 1)
    return _nearest(entity, text) if offsets == "text" else entity


def _agrees(entity: Entity | None, text: str) -> bool:
    if entity is None:
        return False
    if entity.own is None:
        return True
    inside = 0 <= entity.start < entity.end <= len(text)
    return inside and plain_text(text[entity.start : entity.end]) == plain_text(entity.own)


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
        converted = [in_characters(entity, text, offsets) for entity in entities]
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
    one = len(wrong) == 1
    where = "1 entity" if one else f"{len(wrong):,} entities"
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
    disagree = "disagrees with its offsets" if one else "disagree with their offsets"
    told += f" ({where} of {file_of(source)} {disagree})"
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
        _agrees(in_characters(entity, text, offsets), text)
        for _, text, entities in rows
        for entity in entities
    )


def offsets_hint(rows: Sequence[tuple[str, str, list[Entity]]], offsets: str) -> str | None:
    """What the offsets may count, where no entity would then cut a word; None without such a guess.

    Where none cuts a word as they were read, something else is wrong with them.

    Args:
        rows: Source, text and entities of each row of a file.
        offsets: What they were read as, a value of `--entity-offsets`.
    """
    left = ["characters", "utf16", "bytes", "inclusive"]
    for _, text, entities in rows:
        words = split_words(text, "unicode-v1") if entities else []
        starts, ends = {start for start, _ in words}, {end for _, end in words}
        left = [
            kind
            for kind in left
            if all(_is_of_words(in_characters(e, text, kind), text, starts, ends) for e in entities)
        ]
    if offsets == "text" or offsets in left:
        return None
    if not left:
        return _shift_hint(rows, offsets)
    what = _WHAT.get(left[0], "characters, with the end behind the entity")
    fix = "leave out --entity-offsets" if left[0] == "characters" else f"--entity-offsets {left[0]}"
    return f"if the offsets count {what}, every entity begins and ends with a word: {fix}"


def _shift_hint(rows: Sequence[tuple[str, str, list[Entity]]], offsets: str) -> str | None:
    """The same where all offsets would be right if they were moved by one and the same amount."""
    if sum(len(entities) for _, _, entities in rows) < _MANY_TO_SHIFT:
        return None
    left = [shift for size in range(1, _LONGEST_SHIFT + 1) for shift in (-size, size)]
    for _, text, entities in rows:
        words = split_words(text, "unicode-v1") if entities else []
        starts, ends = {start for start, _ in words}, {end for _, end in words}
        read = [in_characters(entity, text, offsets) for entity in entities]
        left = [
            shift
            for shift in left
            if all(
                one is not None
                and _is_of_words(
                    replace(one, start=one.start + shift, end=one.end + shift), text, starts, ends
                )
                for one in read
            )
        ]
    if not left:
        return None
    by = f"{abs(left[0])} {'less' if left[0] < 0 else 'more'}"
    return (
        f"all offsets seem to be shifted by the same amount: if each were {by}, every entity would "
        "begin and end with a word; correct them in the file"
    )


def _is_of_words(entity: Entity | None, text: str, starts: set[int], ends: set[int]) -> bool:
    return (
        entity is not None
        and entity.start < entity.end
        and entity.start in starts
        and entity.end in ends
        and _agrees(entity, text)
    )
