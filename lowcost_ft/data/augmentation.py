"""Ways to change a training text a little without changing what is said of it.

Each takes a text with its spans and gives the changed one, or None where it finds nothing to
change. Words of a span are never deleted, moved apart or joined with others. After `entities` a
span covers the new entity, after `typos` and `case` what has become of the old one, and after the
others exactly what it covered before.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from lowcost_ft.data.text_edits import Edit, SpannedText, edited, is_free, joined
from lowcost_ft.data.word_spans import SPACELESS, word_spans

__all__ = ["KEYS_BESIDE", "MASKED_MODEL", "WAYS", "Mentions", "mentions"]

Mentions = Mapping[str, Sequence[str]]
"""Different texts of spans, by their label."""

Way = Callable[[SpannedText, np.random.Generator, float, Mentions], SpannedText | None]

_WORD = re.compile(rf"[{SPACELESS}]|[^\s{SPACELESS}]+")
"""What is deleted and swapped: a run without blanks, or a character of a script without them."""
_JOINS = re.compile(rf"[^\s{SPACELESS}]")
"""A character that makes one word with others of its kind beside it."""
_LETTERS = re.compile(rf"[^\W\d_{SPACELESS}]+")
_WIDE_MARKS = "\u3002\uff01\uff1f\uff1b\uff1a\uff0c"
_SEGMENT = re.compile(rf"""(?<=[.!?;:,\u2026])["')\]]*\s+|(?<=[{_WIDE_MARKS}])\s*|\s*\n\s*""")
"""What stands between two segments: blanks after a punctuation mark, or a new line."""
_SHORTEST_TYPO = 4
"""Letters of a word that is mistyped: a shorter one easily becomes another word."""
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbours() -> dict[str, str]:
    """The keys beside each letter's."""
    places = {key: (row, i) for row, keys in enumerate(_KEYS) for i, key in enumerate(keys)}

    def near(one: tuple[int, int], other: tuple[int, int]) -> bool:
        rows, columns = other[0] - one[0], other[1] - one[1]
        return columns in {0: (-1, 1), 1: (-1, 0), -1: (0, 1)}.get(rows, ())

    return {
        key: "".join(other for other in places if near(places[key], places[other]))
        for key in places
    }


KEYS_BESIDE = _neighbours()


def mentions(texts: Iterable[SpannedText]) -> dict[str, list[str]]:
    """The different texts of the spans of each label, in the order in which they come."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for spanned in texts:
        for start, end, label in spanned.spans:
            found[label].setdefault(spanned.text[start:end])
    return {label: list(known) for label, known in found.items()}


def _replace_entities(
    spanned: SpannedText, random: np.random.Generator, share: float, known: Mentions
) -> SpannedText | None:
    """Other entities of the same label in the place of half of them, at least one."""
    edits: list[Edit] = []
    for start, end, label in spanned.spans:
        others = [text for text in known.get(label, ()) if text != spanned.text[start:end]]
        if others:
            edits.append((start, end, others[random.integers(len(others))]))
    return edited(spanned, _some(edits, random, 0.5)) if edits else None


def _delete(
    spanned: SpannedText, random: np.random.Generator, share: float, known: Mentions
) -> SpannedText | None:
    """Some words fewer, with the blanks after them."""
    text, edits = spanned.text, []
    for match in _WORD.finditer(text):
        start, end = match.span()
        while end < len(text) and text[end].isspace():
            end += 1
        if end == len(text):  # The last word takes the blanks before it.
            while start and text[start - 1].isspace():
                start -= 1
            end = match.end()
        around = text[max(0, start - 1) : start] + text[end : end + 1]
        if is_free(spanned, start, end) and len(_JOINS.findall(around)) < 2:
            edits.append((start, end, ""))
    chosen = _some(edits, random, share)
    # Two words that go side by side may both take the blanks between them.
    apart = [e for e, before in zip(chosen, [None, *chosen], strict=False) if _follows(e, before)]
    shorter = edited(spanned, apart) if apart else None
    return shorter if shorter is not None and len(_WORD.findall(shorter.text)) > 1 else None


def _follows(edit: Edit, before: Edit | None) -> bool:
    return before is None or before[1] <= edit[0]


def _swap(
    spanned: SpannedText, random: np.random.Generator, share: float, known: Mentions
) -> SpannedText | None:
    """Some words in the place of the next one, and that one in theirs."""
    words = [match.span() for match in _WORD.finditer(spanned.text)]
    pairs = [
        (one, other)
        for one, other in pairwise(words)
        if is_free(spanned, one[0], other[1])
        and spanned.text[slice(*one)] != spanned.text[slice(*other)]
        # Words of a script with blanks stay apart, also where none stands between the two.
        and bool(_JOINS.match(spanned.text, one[0])) == bool(_JOINS.match(spanned.text, other[0]))
    ]
    edits: list[Edit] = []
    place = 0
    for one, other in _some(pairs, random, share):
        if one[0] >= place:  # A word moves once.
            edits += [(*one, spanned.text[slice(*other)]), (*other, spanned.text[slice(*one)])]
            place = other[1]
    return edited(spanned, edits) if edits else None


def _mistype(
    spanned: SpannedText, random: np.random.Generator, share: float, known: Mentions
) -> SpannedText | None:
    """A mistake in some words: a key beside the right one, a letter twice, swapped or missing."""
    words = []
    for match in _LETTERS.finditer(spanned.text):
        start, end = match.span()
        inside = any(first <= start and end <= last for first, last, _ in spanned.spans)
        if end - start >= _SHORTEST_TYPO and (inside or is_free(spanned, start, end)):
            words.append((start, end))
    edits: list[Edit] = []
    for start, end in _some(words, random, share):
        # The first letter stays; the last one may change places with that before it.
        place = int(random.integers(start + 1, end - 1))
        pair = spanned.text[place : place + 2]
        beside = KEYS_BESIDE.get(pair[0].lower())
        typed = [pair[0] + pair, pair[::-1], pair[1]]  # Twice, swapped, missing.
        if beside:
            other = beside[random.integers(len(beside))]
            typed.append((other.upper() if pair[0].isupper() else other) + pair[1])
        edits.append((place, place + 2, typed[random.integers(len(typed))]))
    return _unless_same(spanned, edited(spanned, edits))


def _change_case(
    spanned: SpannedText, random: np.random.Generator, share: float, known: Mentions
) -> SpannedText | None:
    """All small letters, all capitals, or each word with a capital."""
    ways: tuple[Callable[[str], str], ...] = (str.lower, str.upper, str.capitalize)
    way = ways[random.integers(len(ways))]
    edits: list[Edit] = []
    for start, end in word_spans(spanned.text):
        edges = (edge for first, last, _ in spanned.spans for edge in (first, last))
        cuts = sorted({start, end, *(edge for edge in edges if start < edge < end)})
        for one, other in pairwise(cuts):
            inside = one > start and way is str.capitalize  # A word has one capital.
            edits.append((one, other, (str.lower if inside else way)(spanned.text[one:other])))
    return _unless_same(spanned, edited(spanned, edits))


def _shuffle_segments(
    spanned: SpannedText, random: np.random.Generator, share: float, known: Mentions
) -> SpannedText | None:
    """Sentences and parts of sentences in another order."""
    text, begin, pieces, blanks = spanned.text, 0, [], []
    for match in _SEGMENT.finditer(text):
        start, end = match.span()
        kept = re.match(r"""["')\]]*""", match.group())
        start += len(kept.group()) if kept else 0
        across = any(first < end and start < last for first, last, _ in spanned.spans)
        within = any(first < start < last for first, last, _ in spanned.spans)
        if begin < start and end < len(text) and not across and not within:
            pieces.append(_part(spanned, begin, start))
            blanks.append(text[start:end])
            begin = end
    pieces.append(_part(spanned, begin, len(text)))
    if len(pieces) < 2:
        return None
    order = random.permutation(len(pieces))
    edges = [piece.text[0] for piece in pieces], [piece.text[-1] for piece in pieces]
    joins = all(any(map(_JOINS.match, characters)) for characters in edges)
    between = max(blanks, key=len) or " " * joins
    return _unless_same(spanned, joined([pieces[i] for i in order], between))


def _part(spanned: SpannedText, begin: int, end: int) -> SpannedText:
    spans = (
        (start - begin, stop - begin, label)
        for start, stop, label in spanned.spans
        if begin <= start and stop <= end
    )
    return SpannedText(spanned.text[begin:end], tuple(spans))


def _some(candidates: Sequence, random: np.random.Generator, share: float) -> list:
    """A share of the candidates, at least one of them, in their order."""
    count = min(len(candidates), max(1, round(share * len(candidates))))
    chosen = random.choice(len(candidates), count, replace=False) if count else ()
    return [candidates[i] for i in sorted(chosen)]


def _unless_same(before: SpannedText, after: SpannedText) -> SpannedText | None:
    return None if after == before else after


MASKED_MODEL = "masked-model"
"""Name of the one way that needs a model (`models/masked_model.py`)."""

WAYS: dict[str, Way] = {
    "entities": _replace_entities,
    "delete": _delete,
    "swap": _swap,
    "typos": _mistype,
    "case": _change_case,
    "segments": _shuffle_segments,
}
"""Each way by its name: it gets the text, a random generator, the share of the words to change, and
the entities that are known."""
