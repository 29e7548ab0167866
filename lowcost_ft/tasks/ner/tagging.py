"""Words, tags and spans: how a text is cut into words, and how tags say where entities are.

Tags are kept as IOB2: `B-x` begins an entity of type x, `I-x` continues it, `O` is outside. Other
schemes are converted by one rule, that of the CoNLL-2000 scorer (conlleval): an entity begins at
B, S, U and W, after E, S, L, U and W, and wherever a tag continues nothing of its own type. The
rule needs no knowledge of the scheme; knowing it only tells which sequences are illegal.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Literal

from lowcost_ft.data.rows import shown
from lowcost_ft.scores.iob2 import Span, strict_spans, tags_to_spans

__all__ = ["WORD_SPLITTING", "Scheme", "Span", "detect_scheme", "entities_to_tags"]
__all__ += ["is_tag", "span_problems", "split_words", "strict_spans", "tags_to_spans", "to_iob2"]

WORD_SPLITTING = "unicode-v1"
"""Name of the rule in `split_words`; run.json records it. A changed rule gets a new name."""

Scheme = Literal["IOB1", "IOB2", "IOBES", "BILOU", "BMES", "BMEWO"]

_TAG = re.compile(r"O|[BIESLUMW]-.+", re.DOTALL)
_BEGINS = "BSUW"
_ENDS = "ESLUW"

# Scripts written without spaces: each character is a word, which any span can then be cut from.
_SPACELESS = (
    (0x0E01, 0x0E5B),  # Thai
    (0x0E81, 0x0EDF),  # Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark and zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3031, 0x303C),  # kana repeat marks, more numerals
    (0x3041, 0x30FF),  # Hiragana, Katakana
    (0x3105, 0x312F),  # Bopomofo
    (0x31A0, 0x31BF),  # Bopomofo
    (0x31F0, 0x31FF),  # Katakana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFF9F),  # half-width Katakana
    (0x1AFF0, 0x1B16F),  # Kana
    (0x20000, 0x3FFFF),  # Han
)


@cache
def _kind(character: str) -> Literal["space", "word", "mark", "single"]:
    category = unicodedata.category(character)
    if character.isspace():
        return "space"
    # Accents, vowel signs, joiners, variation selectors: part of the character before them.
    if category[0] == "M" or category == "Cf":
        return "mark"
    if any(first <= ord(character) <= last for first, last in _SPACELESS):
        return "single"
    return "word" if category[0] in "LN" or character == "_" else "single"


def split_words(text: str) -> list[tuple[int, int]]:
    """Cuts a text into words: the rule that `WORD_SPLITTING` names.

    White space separates. A run of letters, digits and underscores is a word; every other visible
    character, and every character of a script without spaces (Han, Kana, Thai, ...), is a word of
    its own. Marks and invisible format characters belong to the character before them.

    Args:
        text: Any text.

    Returns:
        Start and end (exclusive) of each word, in characters. Every character that is not white
        space lies in exactly one word.
    """
    words: list[tuple[int, int]] = []
    start = -1  # no word is open
    in_run = False
    for position, character in enumerate(text):
        kind = _kind(character)
        if start >= 0 and (kind == "mark" or (kind == "word" and in_run)):
            continue
        if start >= 0:
            words.append((start, position))
        start = -1 if kind == "space" else position
        in_run = kind in ("word", "mark")
    if start >= 0:
        words.append((start, len(text)))
    return words


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


def span_problems(text: str, spans: Sequence[Span]) -> list[str]:
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
    words = split_words(text)
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
    text: str, spans: Sequence[Span]
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...], tuple[str, ...], int]:
    """Cuts a text into words and tags them.

    A span that begins or ends inside a word is widened to whole words.

    Args:
        text: The text.
        spans: Character spans without `span_problems`.

    Returns:
        The words, their offsets, their IOB2 tags, and how many spans were widened.
    """
    offsets = split_words(text)
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
