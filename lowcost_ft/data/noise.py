"""Mistakes that people and machines make in texts, as edits of one word at a time.

Each kind gives the edits that it could make at a word. An edit lies inside of one span or outside
of all, so that spans follow it to the character (`text_edits.py`).
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lowcost_ft.data.augmentation import KEYS_BESIDE, Mentions
from lowcost_ft.data.text_edits import Edit, SpannedText, is_free
from lowcost_ft.data.word_spans import SPACELESS, word_spans

# Confusions of characters are meant here.
# ruff: noqa: RUF001

__all__ = ["NOISES", "Noise", "entity_noise", "follows", "synonym_noise"]

Noise = Callable[[SpannedText], list[list[Edit]]]
"""From a text to the edits that are possible: a list for each word that has some."""

_SHORTEST_TYPO = 4
"""Letters of a word that is mistyped: a shorter one easily becomes another word."""
_PLAIN = {
    **{"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "æ": "ae", "Æ": "AE"},
    **{"œ": "oe", "Œ": "OE", "ı": "i", "ð": "d", "þ": "th"},
}
_PARTS_OF_LETTERS = frozenset((0, 8, 9))
"""Combining classes of marks without which a letter is another one: the signs of vowels in Indic
scripts, of voice in Kana, and of a vowel that is missing."""
_CONFUSED = (
    *(("rn", "m"), ("m", "rn"), ("cl", "d"), ("d", "cl"), ("vv", "w"), ("w", "vv"), ("l", "1")),
    *(("l", "I"), ("i", "l"), ("I", "l"), ("I", "1"), ("o", "0"), ("O", "0"), ("0", "O")),
    *(("1", "l"), ("e", "c"), ("c", "e"), ("S", "5"), ("5", "S"), ("s", "5"), ("B", "8")),
    *(("8", "B"), ("h", "b"), ("b", "h"), ("u", "ii"), ("nn", "rm"), ("t", "f"), ("Z", "2")),
    *(("g", "9"), ("g", "q"), ("日", "曰"), ("己", "已"), ("末", "未"), ("土", "士"), ("人", "入")),
    *(("大", "太"), ("千", "干"), ("天", "夭"), ("未", "末"), ("已", "己"), ("入", "人")),
)
"""What readers of scanned texts take for one another, from what it is to what is read."""


def _typos(text: str, start: int, end: int) -> list[Edit]:
    """A key beside the right one, a letter twice, swapped or missing; first and last stay."""
    word = text[start:end]
    if len(word) < _SHORTEST_TYPO or not word.isalpha():
        return []
    edits = []
    for place in range(start + 1, end - 2):
        pair = text[place : place + 2]
        typed = [pair[0] + pair, pair[::-1], pair[1]]
        for key in KEYS_BESIDE.get(pair[0].lower(), ""):
            typed.append((key.upper() if pair[0].isupper() else key) + pair[1])
        edits += [(place, place + 2, other) for other in typed if other != pair]
    return edits


def _diacritics(text: str, start: int, end: int) -> list[Edit]:
    """The word without its accents."""
    parts = unicodedata.normalize("NFD", text[start:end])
    bare = "".join(_PLAIN.get(c, c) for c in parts if not _is_accent(c))
    bare = unicodedata.normalize("NFC", bare)
    return [(start, end, bare)] if bare and bare != text[start:end] else []


def _is_accent(character: str) -> bool:
    """Whether a mark may get lost; not a vowel sign of Hindi, or what makes か into が."""
    combining = unicodedata.combining(character)
    return unicodedata.category(character) == "Mn" and combining not in _PARTS_OF_LETTERS


def _case(text: str, start: int, end: int) -> list[Edit]:
    """The word in small letters, in capitals, with a capital, or with small and large swapped."""
    word = text[start:end]
    others = dict.fromkeys((word.lower(), word.upper(), word.capitalize(), word.swapcase()))
    return [(start, end, other) for other in others if other != word]


def _spacing(text: str, start: int, end: int) -> list[Edit]:
    """A blank inside the word, or none behind it."""
    edits = []
    if not any(first <= text[start] <= last for first, last in _spaceless_ranges()):
        edits = [
            (place, place + 1, text[place] + " ")
            for place in range(start, end - 1)
            if text[place].isalnum() and text[place + 1].isalnum()
        ]
    if text[end : end + 1] == " " and text[end + 1 : end + 2].strip():
        edits.append((end, end + 1, ""))
    return edits


def _spaceless_ranges() -> list[tuple[str, str]]:
    return [(SPACELESS[i], SPACELESS[i + 2]) for i in range(0, len(SPACELESS), 3)]


def _ocr(text: str, start: int, end: int) -> list[Edit]:
    """Letters that look like others."""
    return [
        (place, place + len(given), read)
        for given, read in _CONFUSED
        for place in range(start, end - len(given) + 1)
        if text.startswith(given, place)
    ]


def _of_words(edits_of: Callable[[str, int, int], list[Edit]]) -> Noise:
    def noise(spanned: SpannedText) -> list[list[Edit]]:
        found = []
        for start, end in word_spans(spanned.text):
            edits = [e for e in edits_of(spanned.text, start, end) if follows(spanned, e)]
            if edits:
                found.append(edits)
        return found

    return noise


def follows(spanned: SpannedText, edit: Edit) -> bool:
    """Whether an edit lies inside of one span, or outside of all."""
    start, end, _ = edit
    return is_free(spanned, start, end) or any(
        first <= start and end <= last for first, last, _ in spanned.spans
    )


def _run_on(spanned: SpannedText) -> list[list[Edit]]:
    """The marks between two sentences, one at a time; the next one begins with a small letter."""
    text, found = spanned.text, []
    for place in range(1, len(text) - 2):
        if text[place] not in ".!?;。！？；" or not text[place - 1].isalnum():
            continue
        blank = text[place + 1] == " "
        after = place + 1 + blank
        if text[place] in ".!?;" and not blank:
            continue
        edit: Edit = (place, after + 1, " " * blank + text[after].lower())
        if not is_free(spanned, *edit[:2]):
            edit = (place, place + 1, "")
        if is_free(spanned, *edit[:2]):
            found.append([edit])
    return found


NOISES: dict[str, Noise] = {
    "typos": _of_words(_typos),
    "diacritics": _of_words(_diacritics),
    "case": _of_words(_case),
    "spacing": _of_words(_spacing),
    "ocr": _of_words(_ocr),
    "run-on": _run_on,
}
"""Kinds of noise that need nothing but the text."""


def entity_noise(pool: Mentions) -> Noise:
    """Other entities of the same label in the place of each.

    Args:
        pool: The entities to take, by label.
    """

    def noise(spanned: SpannedText) -> list[list[Edit]]:
        found = []
        for start, end, label in spanned.spans:
            own = spanned.text[start:end]
            edits = [(start, end, other) for other in pool.get(label, ()) if other != own]
            if edits:
                found.append(edits)
        return found

    return noise


def synonym_noise(synonyms: Mapping[str, Sequence[str]]) -> Noise:
    """Words that mean the same in the place of others, outside of spans; the longest entry first.

    Args:
        synonyms: Word in small letters -> others. An entry may be of several words, as all longer
            ones of Chinese are.
    """
    entries = {_words_of(entry): others for entry, others in synonyms.items() if others}
    longest = max(map(len, entries), default=0)

    def noise(spanned: SpannedText) -> list[list[Edit]]:
        found = []
        text, spans = spanned.text, word_spans(spanned.text)
        words, place = _words_of(text), 0
        while place < len(words):
            step = 1
            for count in range(min(longest, len(words) - place), 0, -1):
                others = entries.get(words[place : place + count], ())
                start, end = spans[place][0], spans[place + count - 1][1]
                if others and is_free(spanned, start, end):
                    found.append([(start, end, written_as(text[start:end], o)) for o in others])
                    step = count
                    break
            place += step
        return found

    return noise


def _words_of(text: str) -> tuple[str, ...]:
    return tuple(text[start:end].lower() for start, end in word_spans(text))


def written_as(word: str, other: str) -> str:
    """Another word with the capitals of this one."""
    if word.isupper() and len(word) > 1:
        return other.upper()
    return other[:1].upper() + other[1:] if word[:1].isupper() else other


def drawn(edits: Sequence[Edit], most: int, random: np.random.Generator) -> list[Edit]:
    """At most so many of some edits, at random."""
    if len(edits) <= most:
        return list(edits)
    return [edits[i] for i in sorted(random.choice(len(edits), most, replace=False))]
