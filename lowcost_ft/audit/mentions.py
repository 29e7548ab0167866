"""Where texts mention groups of people, and where the same letters mean something else."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lowcost_ft.audit.ages import is_age_of_a_thing
from lowcost_ft.audit.grammar import reading_of, starts_sentence
from lowcost_ft.audit.groups import Attribute, ordinary_words
from lowcost_ft.data.languages import language_of
from lowcost_ft.data.noise import follows
from lowcost_ft.data.text_edits import SpannedText
from lowcost_ft.data.word_spans import SPACELESS

__all__ = ["Finder", "Mention"]

_SPACELESS = re.compile(f"[{SPACELESS}]")
# Scripts without blanks touch Latin words, too.
_LETTER = rf"[^\W{SPACELESS}]"
# What is part of a longer word, an address, a tag or a domain is left alone; U+0300 to U+036F are
# accents by themselves.
_BEFORE = rf"(?<!{_LETTER})(?<![@#/-])(?<!{_LETTER}[.'\u2019])"
_AFTER = rf"(?!{_LETTER}|[@/\u0300-\u036f-]|\.{_LETTER})"
_TIMES = frozenset(("april", "august", "autumn", "june", "may", "summer"))
_BEFORE_A_TIME = re.compile(
    r"(?:\b(?:in|on|by|since|until|till|of|last|next|this|that|every|each|early|mid|late|from|"
    r"before|after|during)|\d(?:st|nd|rd|th)?)\W+$",
    re.IGNORECASE,
)
_BEFORE_A_THING = re.compile(
    r"\b(?:a|an|the|my|your|his|her|our|their|its|this|that|these|those)\s+$", re.IGNORECASE
)
_DATE_FOLLOWS = re.compile(r"\s*\d")


@dataclass(frozen=True, kw_only=True)
class Mention:
    """A word of a group in a text.

    Attributes:
        part: Number of the text in its example.
        start: Its first character.
        end: The character after its last one.
        group: Its group.
        kind: Its kind of words; see `Attribute.groups`.
        place: Place in the list of its group and kind; None where it has several and the text does
            not tell which.
        listed: The word as the list has it.
        fixed: Whether it cannot be replaced, since it lies across the edge of a span.
    """

    part: int
    start: int
    end: int
    group: str
    kind: str
    place: int | None
    listed: str
    fixed: bool


class Finder:
    """Finds the words of an attribute, the longest first.

    Args:
        attribute: The attribute.
    """

    def __init__(self, attribute: Attribute) -> None:
        self.attribute = attribute
        self._known: dict[str, list[tuple[str, str, int, str]]] = {}
        for group, kinds in attribute.groups.items():
            for kind, words in kinds.items():
                for place, word in enumerate(words):
                    self._known.setdefault(word.casefold(), []).append((group, kind, place, word))
        listed = {word for found in self._known.values() for _, _, _, word in found}
        self._pattern = _pattern_of(listed | set(attribute.larger))

    def mentions(self, texts: Sequence[SpannedText]) -> list[Mention]:
        """The mentions in the texts of an example, in their order."""
        return [
            mention
            for part, spanned in enumerate(texts)
            if not self._is_foreign(spanned.text)
            for match in self._pattern.finditer(spanned.text)
            if (mention := self._mention(part, spanned, *match.span())) is not None
        ]

    def _is_foreign(self, text: str) -> bool:
        """Whether matched English words would be another language's ("son", "men")."""
        if self.attribute.language != "en" or not self.attribute.matched:
            return False
        return language_of(text) not in (None, "English")

    def _mention(self, part: int, spanned: SpannedText, start: int, end: int) -> Mention | None:
        text = spanned.text
        found = self._known.get(" ".join(text[start:end].casefold().split()))
        if found is None:  # Something larger that means something else.
            return None
        group, kind, place, listed = found[0]
        if is_age_of_a_thing(text, start, end):
            return None
        if _is_ordinary(listed) and not _is_name(spanned, start, end, listed):
            return None
        if self.attribute.matched and len(found) > 1:
            reading = reading_of(text, start, end)
            at = None if reading is None else found[min(reading, len(found) - 1)][2]
        else:
            at = place
        return Mention(
            part=part,
            start=start,
            end=end,
            group=group,
            kind=kind,
            place=at,
            listed=listed,
            fixed=not follows(spanned, (start, end, "")),
        )


def _is_ordinary(listed: str) -> bool:
    """Whether a listed word means something else in small letters."""
    return listed[:1].isupper() and listed.casefold() in ordinary_words()


def _pattern_of(words: Iterable[str]) -> re.Pattern[str]:
    """In scripts without blanks words touch; elsewhere a word stands by itself."""
    bounded: dict[tuple[str, str], list[str]] = {}
    for word in sorted(words, key=lambda word: (-len(word), word)):
        before = "" if _SPACELESS.match(word[0]) else _BEFORE
        after = "" if _SPACELESS.match(word[-1]) else _AFTER
        pattern = r"\s+".join(map(re.escape, word.split()))
        bounded.setdefault((before, after), []).append(pattern)
    return re.compile(
        "|".join(f"{before}(?:{'|'.join(own)}){after}" for (before, after), own in bounded.items()),
        re.IGNORECASE,
    )


def _is_name(spanned: SpannedText, start: int, end: int, listed: str) -> bool:
    """Whether a word such as Will, May or Rose is meant as a name.

    It must have its capital where other words have none: not at the beginning of a sentence,
    unless it lies in a span; not after an article or as part of a date.
    """
    text = spanned.text
    if text[start:end] != listed or _BEFORE_A_THING.search(text, 0, start):
        return False
    if listed.casefold() in _TIMES and (
        _BEFORE_A_TIME.search(text, 0, start) or _DATE_FOLLOWS.match(text, end)
    ):
        return False
    in_span = any(first <= start and end <= last for first, last, _ in spanned.spans)
    return in_span or not starts_sentence(text, start)
