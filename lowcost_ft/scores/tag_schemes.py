"""Schemes of tags, such as BILOU and IOB1, and their conversion to IOB2.

Tags are kept as IOB2: `B-x` begins an entity of type x, `I-x` continues it, `O` is outside. Other
schemes are converted by one rule, that of the CoNLL-2000 scorer (conlleval): an entity begins at
B, S, U and W, after E, S, L, U and W, and wherever a tag continues nothing of its own type. The
rule needs no knowledge of the scheme; knowing it only tells which sequences are illegal.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

__all__ = ["Scheme", "detect_scheme", "illegal_tags", "to_iob2"]

Scheme = Literal["IOB1", "IOB2", "IOBES", "BILOU", "BMES", "BMEWO"]

_BEGINS = "BSUW"
_ENDS = "ESLUW"


def detect_scheme(sentences: Iterable[Sequence[str]]) -> Scheme:
    """The tagging scheme of well-formed tags.

    IOB1 writes B- only between two adjacent entities of one type, IOB2 at each entity's begin; of
    the two, the one that makes fewer sequences illegal is taken.

    Args:
        sentences: The tags of every sentence of every split: a single split can look like
            another scheme.
    """
    begun_by_b = begun_by_i = 0
    prefixes = set()
    for tags in sentences:
        previous = "O"
        for tag in tags:
            prefixes.add(tag[0])
            if tag[2:] != previous[2:]:
                begun_by_b += tag[0] == "B"
                begun_by_i += tag[0] == "I"
            previous = tag
    if prefixes & set("LU"):
        return "BILOU"
    if "W" in prefixes:
        return "BMEWO"
    if "M" in prefixes:
        return "BMES"
    if prefixes & set("ES"):
        return "IOBES"
    return "IOB1" if begun_by_i > begun_by_b else "IOB2"


def to_iob2(tags: Sequence[str], scheme: Scheme) -> tuple[tuple[str, ...], list[int]]:
    """Converts tags, reading illegal sequences as conlleval does.

    Args:
        tags: Well-formed tags of one sentence.
        scheme: What they are meant to be.

    Returns:
        The tags as IOB2, and the positions of the tags that the scheme does not allow there: one
        that continues nothing, a B- of IOB1 that separates nothing, an entity without its last tag
        in a scheme that marks it.
    """
    converted: list[str] = []
    illegal: set[int] = set()
    needs_end = scheme not in ("IOB1", "IOB2")
    previous = "O"
    for position, tag in enumerate((*tags, "O")):
        prefix, label = tag[0], tag[2:]
        same = label != "" and label == previous[2:]
        begins = tag != "O" and (prefix in _BEGINS or not same or previous[0] in _ENDS)
        if begins and prefix not in _BEGINS and scheme != "IOB1":
            illegal.add(position)
        if scheme == "IOB1" and prefix == "B" and not same:
            illegal.add(position)
        if needs_end and previous[0] in "BIM" and (begins or tag == "O"):
            illegal.add(position - 1)
        converted.append("O" if tag == "O" else f"{'B' if begins else 'I'}-{label}")
        previous = tag
    return tuple(converted[:-1]), sorted(illegal)


def illegal_tags(scheme: Scheme, places: Sequence[str]) -> str:
    """What a notice says about tags that their scheme does not allow.

    Args:
        scheme: The scheme.
        places: Where each of these tags stands; there is at least one.
    """
    listed = ", ".join(places[:5]) + (", ..." if len(places) > 5 else "")
    return (
        f"{len(places)} tag(s) not allowed where they stand in {scheme}, read as conlleval reads "
        f"them (what continues nothing begins an entity): {listed}"
    )
