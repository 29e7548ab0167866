"""How a text is cut into words: the rules, each by the name that `run.json` records."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Literal

from lowcost_ft.config.reading import ReadingOptions, WordSplitting

__all__ = ["WORD_SPLITTING", "split_words"]

WORD_SPLITTING: WordSplitting = ReadingOptions().word_splitting
"""The rule of new runs. A changed rule gets a new name, and the old one stays for old runs."""

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


def split_words(text: str, rule: str = WORD_SPLITTING) -> list[tuple[int, int]]:
    """Cuts a text into words.

    White space separates. A run of letters, digits and underscores is a word; every other visible
    character, and every character of a script without spaces (Han, Kana, Thai, ...), is a word of
    its own. Marks and invisible format characters belong to the character before them. By
    `unicode-v2`, a web address (`http://`, `https://`, `ftp://`, `www.`) and an e-mail address are
    one word each, without the punctuation behind them; by `unicode-v1` they are cut like all else.

    Args:
        text: Any text.
        rule: The name of the rule, a value of `--word-splitting`.

    Returns:
        Start and end (exclusive) of each word, in characters. Every character that is not white
        space lies in exactly one word. The words of `unicode-v1` lie inside those of `unicode-v2`.
    """
    words = _runs(text)
    return words if rule == "unicode-v1" else _with_whole_addresses(text, words)


def _runs(text: str) -> list[tuple[int, int]]:
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


# --- Addresses ----------------------------------------------------------------------------------

_MAY_HOLD = re.compile(r"://|www\.|@", re.IGNORECASE)
_SCHEMES = ("http", "https", "ftp")
_IN_URL = frozenset("-.~:/?#[]@!$&'()*+,;=%")
"""What RFC 3986 lets stand in an address beside letters, digits and `_`."""
_BEHIND_URL = frozenset("?!.,:;*'~")
"""What ends a sentence or a quotation, not the address in it: as GitHub's Markdown reads links."""
_BRACKETS = {")": "(", "]": "["}
_IN_LOCAL_PART = frozenset(".+-%")
_TOP_LEVEL = re.compile(r"[^\W\d_]{2,}")


def _with_whole_addresses(text: str, words: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins the words of each web address and each e-mail address."""
    if not _MAY_HOLD.search(text):
        return words
    joined: list[tuple[int, int]] = []
    for chunk in _chunks(words):
        parts = [text[start:end] for start, end in chunk]
        done = 0
        for begin, end in _addresses(parts):
            joined += [*chunk[done:begin], (chunk[begin][0], chunk[end - 1][1])]
            done = end
        joined += chunk[done:]
    return joined


def _chunks(words: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Words between which there is no white space."""
    first = 0
    for number in range(1, len(words) + 1):
        if number == len(words) or words[number][0] != words[number - 1][1]:
            yield words[first:number]
            first = number


def _addresses(parts: list[str]) -> Iterator[tuple[int, int]]:
    number = done = 0
    while number < len(parts):
        found = _url(parts, number) or _email(parts, number, done)
        if found is None:
            number += 1
        else:
            yield found
            number = done = found[1]


def _is_run(part: str) -> bool:
    return _kind(part[0]) == "word"


def _url(parts: list[str], begin: int) -> tuple[int, int] | None:
    word = parts[begin].lower()
    if word in _SCHEMES and parts[begin + 1 : begin + 4] == [":", "/", "/"]:
        host = begin + 4
    elif word == "www" and parts[begin + 1 : begin + 2] == ["."]:
        host = begin + 2
    else:
        return None
    if host == len(parts) or not _is_run(parts[host]):
        return None
    end = host + 1
    while end < len(parts) and (_is_run(parts[end]) or parts[end] in _IN_URL):
        end += 1
    counts = Counter(parts[begin:end])
    while (last := parts[end - 1]) in _BEHIND_URL or (
        last in _BRACKETS and counts[last] > counts[_BRACKETS[last]]
    ):
        counts[last] -= 1
        end -= 1
    return begin, end


def _email(parts: list[str], at: int, done: int) -> tuple[int, int] | None:
    """The e-mail address around an `@`; what stands before `done` belongs to another one."""
    begin = at - 1
    if parts[at] != "@" or begin < done or at + 1 == len(parts):
        return None
    if not (_is_run(parts[begin]) and _is_run(parts[at + 1])):
        return None
    while begin - 2 >= done and parts[begin - 1] in _IN_LOCAL_PART and _is_run(parts[begin - 2]):
        begin -= 2
    end, place = None, at + 2
    while place + 1 < len(parts) and parts[place] in (".", "-") and _is_run(parts[place + 1]):
        if parts[place] == "." and _TOP_LEVEL.fullmatch(parts[place + 1]):
            end = place + 2
        place += 2
    return None if end is None else (begin, end)
