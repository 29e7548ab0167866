"""What a language asks of a word that takes another's place: capitals, "a" or "an", her and his."""

import re

from lowcost_ft.data.text_edits import Edit

__all__ = ["article_edit", "cased", "reading_of", "starts_sentence"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Followed by one of these, "her" is an object ("told her about") and "his" stands alone. Words
# that may also be things that somebody has, such as "back", are left out.
_FUNCTION_WORDS = _words(
    """
    a about across after again against alone along also am an and any anymore anyway are around as
    at away because been before being between but by can concerning could did do does down during
    each either every for from had has have her here his how i if immediately in instead into is it
    its just me might must my near neither never no nor not now of off on one onto or our out over
    per personally please regarding shall should since so some soon than thanks that the their them
    then there they this those through to today tomorrow tonight too twice under until up upon us
    via was we were what when whenever where wherever whether which while who why will with within
    without would yesterday yet you your
    """
)
# Of these, too, "her" is an object ("know her well"), but "his" need not stand alone.
_AFTER_OBJECT = frozenset(("once", "well"))
# These may belong to a verb ("met her last year") or to what somebody has ("her last order").
_MAY_BELONG = _words(
    """
    always best better early earlier enough ever first last later less more most much next often
    only really very
    """
)
_TIMES = _words(
    """
    april august autumn december evening fall february friday january july june march may monday
    month morning night november october saturday september spring summer sunday thursday time
    tuesday wednesday week weekend winter year
    """
)
# After one of these, "her" and a noun may be two objects ("sent her flowers", "saw her leave").
_TWO_OBJECTS = re.compile(
    r"\b(?:ask|bring|brought|buy|bought|call|caught|cost|fe[el]l?d|find|found|g[ia]ve|given|"
    r"hand|hear|heard|help|had|have|keep|kept|le[nt]d?|lent|ma[dk]e|offer|owe|paid|pay|"
    r"promise|read|refuse|s[ae]w|seen?|sell|send|sent|serve|show|sold|taught|teach|tell|thought|"
    r"told|watch|wish|write|wrote)(?:e?s|ed|d|ing)?\s+$",
    re.IGNORECASE,
)
_NEXT_WORD = re.compile(r"\s+[\"'\u201c\u2018(]?(\w+(?:-\w+)*)((?:['\u2019]\w+)?)")
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
    after, follows = _next_word(text, end)
    alone = not after or after in _FUNCTION_WORDS
    if word == "his":
        return int(alone)
    if alone or after in _AFTER_OBJECT:
        return 0
    if after in _MAY_BELONG:
        then, _ = _next_word(text, follows)
        if not then or (after == "very" and then in ("much", "well")):
            return 0
        if then in _FUNCTION_WORDS or then in _TIMES:
            return None
    return None if _TWO_OBJECTS.search(text, 0, start) else 1


def _next_word(text: str, place: int) -> tuple[str, int]:
    """The word that follows, in small letters and with its hyphens, and its end; "" where none."""
    found = _NEXT_WORD.match(text, place)
    if found is None:
        return "", place
    negated = found[2][1:].lower() == "t"  # isn't, won't
    return "not" if negated else found[1].lower(), found.end()


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
