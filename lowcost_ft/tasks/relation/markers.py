"""Entity markers in punctuation: what the model sees of a pair, always with the pair inside.

`Ada works for Acme` with the head `Ada` (a person) and the tail `Acme` (a firm) becomes
`@ * person * Ada @ works for # ^ firm ^ Acme #`. The marks are characters that every tokenizer
knows, so that no embedding is new and the model reloads in plain transformers.

Source:
    Zhou and Chen (2021), An Improved Baseline for Sentence-level Relation Extraction.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lowcost_ft.tasks.relation.examples import Pair

__all__ = ["marked_texts", "plain_type"]

_ENCODED_AT_ONCE = 1000
_GAP = " ... "
"""Stands where the middle between two distant entities is left out."""


@dataclass(frozen=True, slots=True)
class _Marked:
    """A marked text, and where the marked head and the marked tail lie in it."""

    text: str
    head: tuple[int, int]
    tail: tuple[int, int]


def plain_type(kind: str | None) -> str:
    """A type of entities as the model reads it: small letters, and blanks for underscores."""
    return re.sub(r"[\s_]+", " ", kind or "").strip().lower()


def _mark(text: str, pair: Pair, *, typed: bool = True) -> _Marked:
    """Puts the marks in; one entity inside another keeps both pairs of marks."""
    edges: list[tuple[int, int, int, str, int]] = []
    for number, (mention, outer, inner) in enumerate(zip(pair, "@#", "*^", strict=True)):
        kind = plain_type(mention.type) if typed else ""
        opening = f"{outer} {inner} {kind} {inner} " if kind else f"{outer} "
        size = mention.end - mention.start
        # At one place entities that end come first, the shorter first, then those that begin.
        edges.append((mention.start, 1, -size, opening, number))
        edges.append((mention.end, 0, size, f" {outer}", number))
    pieces: list[str] = []
    length, done = 0, 0
    bounds: list[list[int]] = [[0, 0], [0, 0]]

    def add(piece: str) -> None:
        nonlocal length
        pieces.append(piece)
        length += len(piece)

    def blank() -> bool:
        return not pieces or pieces[-1][-1:].isspace()

    for place, begins, _, mark, number in sorted(edges):
        if place > done:
            if pieces and pieces[-1][-1:] in "@#" and not text[done].isspace():
                add(" ")
            add(text[done:place])
            done = place
        if begins:
            if not blank():
                add(" ")
            bounds[number][0] = length
            add(mark)
        else:
            add(mark)
            bounds[number][1] = length
    if done < len(text):
        if not text[done].isspace():
            add(" ")
        add(text[done:])
    return _Marked("".join(pieces), (bounds[0][0], bounds[0][1]), (bounds[1][0], bounds[1][1]))


def marked_texts(
    texts: Sequence[str], pairs: Sequence[Pair], tokenizer: Any, *, max_length: int
) -> tuple[list[str], list[bool]]:
    """What the model is to see of each pair.

    A text that is too long loses what is farthest from its two entities. If even the words between
    them are too many, what stands around each of them is kept, with `...` in between.

    Args:
        texts: A text for each pair.
        pairs: Head and tail.
        tokenizer: The model's.
        max_length: Most tokens of an input, special tokens included.

    Returns:
        The marked texts, each of which the tokenizer turns into `max_length` tokens at most, and
        whether each lost something.
    """
    marked = [_mark(text, pair) for text, pair in zip(texts, pairs, strict=True)]
    kept, cut = [one.text for one in marked], [False] * len(marked)
    for start in range(0, len(marked), _ENCODED_AT_ONCE):
        chunk = kept[start : start + _ENCODED_AT_ONCE]
        encoded = tokenizer(chunk, return_attention_mask=False, verbose=False)["input_ids"]
        for index, ids in enumerate(encoded, start):
            if len(ids) > max_length:
                kept[index] = _cut(marked[index], texts[index], pairs[index], tokenizer, max_length)
                cut[index] = True
    return kept, cut


def _cut(marked: _Marked, text: str, pair: Pair, tokenizer: Any, max_length: int) -> str:
    def fits(candidate: str) -> bool:
        ids = tokenizer(candidate, return_attention_mask=False, verbose=False)["input_ids"]
        return len(ids) <= max_length

    for one in (marked, _mark(text, pair, typed=False)):
        builders = [partial(_around, one)]
        if one.head[1] <= one.tail[0] or one.tail[1] <= one.head[0]:
            builders.append(partial(_two_pieces, one))
        for build in builders:
            if (found := _largest(build, fits, one.text)) is not None:
                return found
    # Entities that are longer than a window themselves: their beginnings.
    short = _largest(lambda n: _short_mentions(text, pair, n), fits, text)
    return short if short is not None else marked.text[min(marked.head[0], marked.tail[0]) :]


def _largest(build: Callable[[int], str], fits: Callable[[str], bool], text: str) -> str | None:
    """The text with the most characters of context that fits; None if none does."""
    if not fits(build(0)):
        return None
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(build(middle)):
            low = middle
        else:
            high = middle - 1
    return build(low)


def _around(marked: _Marked, context: int) -> str:
    """The pair, what lies between, and so many characters more on each side, where there are any.

    What one side lacks goes to the other.
    """
    text, bounds = marked.text, (*marked.head, *marked.tail)
    first, last = min(bounds), max(bounds)
    before, after = first, len(text) - last
    left = min(before, context + max(context - after, 0))
    right = min(after, context + max(context - before, 0))
    return text[_word_start(text, first - left, first) : _word_end(text, last + right, last)]


def _two_pieces(marked: _Marked, context: int) -> str:
    """The two entities, each with so many characters on both sides, and a gap in between."""
    text = marked.text
    (first, first_end), (second, last) = sorted((marked.head, marked.tail))
    if first_end + context >= second - context:
        return _around(marked, context)
    left = text[
        _word_start(text, max(first - context, 0), first) : _word_end(
            text, first_end + context, first_end
        )
    ]
    right = text[
        _word_start(text, second - context, second) : _word_end(
            text, min(last + context, len(text)), last
        )
    ]
    return left.strip() + _GAP + right.strip()


def _short_mentions(text: str, pair: Pair, characters: int) -> str:
    pieces = []
    for mention, mark in zip(pair, "@#", strict=True):
        words = text[mention.start : min(mention.end, mention.start + 1 + characters)]
        pieces.append((mention.start, f"{mark} {words} {mark}"))
    return " ".join(piece for _, piece in sorted(pieces))


def _word_start(text: str, place: int, latest: int) -> int:
    """The next place at which a word starts, so that no half word is left; not after `latest`."""
    if place <= 0 or text[place - 1].isspace():
        return max(place, 0)
    found = re.compile(r"\s").search(text, place, latest)
    # Languages without blanks have no such place nearby.
    return found.end() if found and found.end() - place <= 30 else place


def _word_end(text: str, place: int, earliest: int) -> int:
    if place >= len(text) or text[place].isspace():
        return min(place, len(text))
    blank = max(text.rfind(" ", earliest, place), text.rfind("\n", earliest, place))
    return blank if blank >= 0 and place - blank <= 30 else place
