"""Tags and spans: how tags say where entities are.

Tags are kept as IOB2: `B-x` begins an entity of type x, `I-x` continues it, `O` is outside. Other
schemes are converted by one rule, that of the CoNLL-2000 scorer (conlleval): an entity begins at
B, S, U and W, after E, S, L, U and W, and wherever a tag continues nothing of its own type. The
rule needs no knowledge of the scheme; knowing it only tells which sequences are illegal.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

from lowcost_ft.data.rows import shown
from lowcost_ft.scores.iob2 import Span, strict_spans, tags_to_spans
from lowcost_ft.tasks.ner.word_splitting import WORD_SPLITTING, split_words

__all__ = ["Scheme", "Span", "detect_scheme", "entities_to_tags"]
__all__ += ["is_tag", "span_problems", "strict_spans", "tags_to_spans", "to_iob2"]

Scheme = Literal["IOB1", "IOB2", "IOBES", "BILOU", "BMES", "BMEWO"]

_TAG = re.compile(r"O|[BIESLUMW]-.+", re.DOTALL)
_BEGINS = "BSUW"
_ENDS = "ESLUW"


def is_tag(tag: str) -> bool:
    """Whether a tag is `O`, or a prefix (B, I, E, S, L, U, M or W), a hyphen and a type."""
    return _TAG.fullmatch(tag) is not None


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


def span_problems(text: str, spans: Sequence[Span], rule: str = WORD_SPLITTING) -> list[str]:
    """What is wrong with the character spans of a text; empty if they can become tags."""
    problems = []
    for start, end, label in spans:
        where = f'entity {start}..{end} "{label}"'
        if not 0 <= start < end <= len(text):
            problems.append(
                f"{where} is not inside the text of {len(text)} characters; correct start and end"
            )
        elif not text[start:end].strip():
            problems.append(f"{where} covers only white space; correct start and end")
    if problems:
        return problems
    ordered = sorted(spans)
    words = split_words(text, rule)
    starts, ends = [start for start, _ in words], [end for _, end in words]
    for before, after in pairwise(ordered):
        pair = f'entities {before[0]}..{before[1]} "{before[2]}" and {after[0]}..{after[1]}'
        pair += f' "{after[2]}"'
        if before[:2] == after[:2]:
            problems.append(
                f"{pair} overlap: the same characters have two types, and a word has one tag; keep "
                f"one of the two"
            )
        elif after[0] < before[1]:
            inside = after[1] <= before[1] or after[0] == before[0]
            problems.append(
                f"{pair} overlap{': one lies inside the other' * inside}, and a word has one tag; "
                f"keep one of the two"
            )
        elif bisect_left(starts, before[1]) > (number := bisect_right(ends, after[0])):
            word = text[starts[number] : ends[number]]
            problems.append(
                f"{pair} lie in one word, {shown(word)}, which has one tag. Prediction does not "
                f"know where to cut it: a run of letters, digits and _ is one word. Put a blank "
                f"between the two in the text, or leave one of them out"
            )
    return problems


def entities_to_tags(
    text: str, spans: Sequence[Span], rule: str = WORD_SPLITTING
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...], tuple[str, ...], int]:
    """Cuts a text into words and tags them.

    A span that begins or ends inside a word is widened to whole words.

    Args:
        text: The text.
        spans: Character spans without `span_problems`.
        rule: The rule that cuts the words.

    Returns:
        The words, their offsets, their IOB2 tags, and how many spans were widened.
    """
    offsets = split_words(text, rule)
    starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
    tags = ["O"] * len(offsets)
    widened = 0
    for start, end, label in spans:
        first = bisect_right(ends, start)  # the first word that ends after the span's start
        last = bisect_left(starts, end) - 1  # the last word that starts before its end
        assert first <= last and set(tags[first : last + 1]) == {"O"}, "check span_problems first"
        widened += starts[first] < start or ends[last] > end
        tags[first] = f"B-{label}"
        tags[first + 1 : last + 1] = [f"I-{label}"] * (last - first)
    words = tuple(text[start:end] for start, end in offsets)
    return words, tuple(offsets), tuple(tags), widened
