"""What a language asks of a word that takes another's place: capitals, "a" or "an", her and his."""

import re

from lowcost_ft.data.text_edits import Edit

__all__ = ["article_edit", "cased", "reading_of", "starts_sentence"]

# Followed by one of these, "her" is an object ("told her about") and "his" stands alone. Words
# that may also be things that somebody has, such as "back", are left out.
_FUNCTION_WORDS = """
    a about after again alone also am an and any are as at away because been before being but by
    can could did do does down during every for from had has have her his how i if in into is it its
    just me might must my no not now of off on one or our out over shall should since so some
    than that the their them then there they this those through to today tomorrow too twice
    until up us was we were what when where whether which while who why will with without would
    yesterday yet you your
"""
# After one of these, "her" and a noun may be two objects ("sent her flowers", "saw her leave").
_TWO_OBJECTS = re.compile(
    r"\b(?:ask|bring|brought|buy|bought|call|caught|cost|fe[el]l?d|find|found|g[ia]ve|given|"
    r"hand|hear|heard|help|had|have|keep|kept|le[nt]d?|lent|ma[dk]e|offer|owe|paid|pay|"
    r"promise|read|refuse|s[ae]w|seen?|sell|send|sent|serve|show|sold|taught|teach|tell|thought|"
    r"told|watch|wish|write|wrote)(?:e?s|ed|d|ing)?\s+$",
    re.IGNORECASE,
)
_NEXT_WORD = re.compile(r"\s+[\"'\u201c\u2018(]?(\w+)")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\u2026\n])\W*$")
_ARTICLE = re.compile(r"(?<![\w'-])(an?)(\s+)$", re.IGNORECASE)
# Letters that are vowels and do not sound so, and the other way round.
_CONSONANT_SOUND = re.compile(r"(?:eu|uni(?!n|m)|us[aeiu]|uk|ug(?:a|y)|one\b|once)", re.IGNORECASE)
_VOWEL_SOUND = re.compile(r"[aeiou8]|1[18]\b|hono|hour|heir|honest", re.IGNORECASE)


def cased(own: str, listed: str, other: str) -> str:
    """A word of a list with the capitals that its counterpart has in the text.

    Args:
        own: The counterpart, as it stands in the text.
        listed: The counterpart, as the list has it.
        other: The word to put in, as the list has it.
    """
    if own == listed:
        return other
    if own.isupper() and len(own) > 1:
        return other.upper()
    if own[:1].isupper() and not listed[:1].isupper():
        return other[:1].upper() + other[1:]
    return other.lower() if own.islower() else other


def starts_sentence(text: str, start: int) -> bool:
    """Whether a sentence may begin here, so that a capital says nothing of the word."""
    return _SENTENCE_START.search(text, 0, start) is not None


def reading_of(text: str, start: int, end: int) -> int | None:
    """Which use of "her" or "his" stands in a text; 0 for any other word.

    Returns:
        Of "her" 0 for an object (him) and 1 for what comes before a noun (his). Of "his" 0 before
        a noun (her) and 1 where it stands alone (hers). None where this cannot be told.
    """
    word = text[start:end].lower()
    if word not in ("her", "his"):
        return 0
    after = _NEXT_WORD.match(text, end)
    alone = after is None or after[1].lower() in _FUNCTION_WORDS.split()
    if word == "his":
        return int(alone)
    if alone:
        return 0
    return None if _TWO_OBJECTS.search(text, 0, start) else 1


def article_edit(text: str, start: int, own: str, new: str) -> Edit | None:
    """Another article before a word that changes; None where it stays or there is none.

    Args:
        text: The text.
        start: Where the word begins.
        own: What stands there.
        new: What takes its place.
    """
    found = _ARTICLE.search(text, 0, start)
    if found is None or _begins_with_vowel(own) == _begins_with_vowel(new):
        return None
    if (found[1].lower() == "an") != _begins_with_vowel(own):
        return None  # The text has the wrong one: no matter of the groups.
    article = found[1][0] + ("n" if _begins_with_vowel(new) else "")
    return found.start(1), found.end(1), article


def _begins_with_vowel(word: str) -> bool:
    return bool(_VOWEL_SOUND.match(word)) and not _CONSONANT_SOUND.match(word)
