"""The script of a text by its letters, and the language of a Latin one by its commonest words."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

__all__ = ["language_by_script", "language_of", "script_of"]

_WITHOUT_BLANKS = {"Han": "zh", "Japanese": "ja", "Thai": "th", "Lao": "lo", "Khmer": "km"}
_WITHOUT_BLANKS |= {"Myanmar": "my"}
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_FEWEST_LETTERS = 8
_FEWEST_HITS = 3

_COMMON = {
    "English": "the and is of to in it you that for was on are with have this not be my what how "
    "can i me do if from your but they at would there when which has am",
    "German": "der die das und ist nicht ich ein eine zu den mit von auf wie für sie es im dem "
    "auch wird sich haben kann mein habe wenn aber oder bei nach warum",
    "French": "le la les de des et est un une que je pour dans ne pas vous il sur avec ce au mon "
    "qui en du mais comment j'ai c'est sont votre ma à",
    "Spanish": "el la los de que y en un una es no por con para mi se lo como las del su al está "
    "pero cuál puedo tengo más cómo qué",
    "Italian": "il la di che e un una per non con sono del mi come le della si nel ma più ho "
    "questo gli è anche alla perché",
    "Portuguese": "o a os de que e um uma não em para com por mais do da no na eu meu como "
    "está minha você foi são seu ao",
    "Dutch": "de het een en van ik is niet dat op te in mijn met voor zijn er wat maar hoe kan aan "
    "heb naar ook je bij",
    "Polish": "i w nie na że się z do to jest jak co mam mi za od czy moja mój po dla "
    "ale przez jestem",
    "Swedish": "och att det är en som på jag inte med för av till den har ett om hur "
    "kan min mitt men var",
    "Turkish": "bir ve bu ne için de da mi çok benim ama var yok ile gibi daha neden",
    "Indonesian": "yang dan di ini itu dengan untuk tidak saya dari ke pada bagaimana apa akan "
    "bisa ada kartu",
}
_OF_WORD: dict[str, list[str]] = {}
for _language, _words in _COMMON.items():
    for _word in _words.split():
        _OF_WORD.setdefault(_word, []).append(_language)


@cache
def _script(character: str) -> str | None:
    """The script that the name of a letter begins with, as in CYRILLIC SMALL LETTER A."""
    if unicodedata.category(character)[0] != "L":
        return None
    name = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    name = {"HIRAGANA": "JAPANESE", "KATAKANA": "JAPANESE", "FULLWIDTH": "LATIN"}.get(name, name)
    return {"CJK": "Han"}.get(name, name.capitalize()) or None


def script_of(text: str) -> str | None:
    """The script of most of a text's letters; None where there are too few."""
    counts = Counter(script for character in text if (script := _script(character)))
    if counts["Japanese"]:  # Kana stand between Han characters.
        counts["Japanese"] += counts.pop("Han", 0)
    if sum(counts.values()) < (4 if counts["Han"] or counts["Japanese"] else _FEWEST_LETTERS):
        return None
    return counts.most_common(1)[0][0]


def language_by_script(texts: Sequence[str]) -> str | None:
    """Code of the language without blanks that most texts are in, such as "zh"; None for others."""
    scripts = Counter(script for text in texts if (script := script_of(text)))
    return _WITHOUT_BLANKS.get(scripts.most_common(1)[0][0]) if scripts else None


def language_of(text: str) -> str | None:
    """The language that most of a Latin text's common words belong to; None where it is unsure.

    Words that several languages share count for each of them.
    """
    words = [word.casefold().replace("\u2019", "'") for word in _WORD.findall(text)]
    hits: Counter[str] = Counter()
    for word in set(words):
        hits.update(_OF_WORD.get(word, ()))
    ranked = hits.most_common(2)
    if not ranked or ranked[0][1] < _FEWEST_HITS:
        return None
    second = ranked[1][1] if len(ranked) > 1 else 0
    return ranked[0][0] if ranked[0][1] >= 2 * second else None
