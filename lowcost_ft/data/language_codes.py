"""Codes of languages: which of them mean the same language, and how it is written."""

import re

__all__ = ["SCRIPT_OF", "TWO_SCRIPTS", "language_name", "same_language"]

_CODES = """
English en eng, French fr fra fre, German de deu ger, Spanish es spa, Italian it ita,
Portuguese pt por, Dutch nl nld dut, Polish pl pol, Swedish sv swe, Turkish tr tur,
Indonesian id ind, Russian ru rus, Ukrainian uk ukr, Bulgarian bg bul, Serbian sr srp,
Greek el ell gre, Arabic ar ara arb, Persian fa fas per pes, Urdu ur urd, Hebrew he heb,
Hindi hi hin, Bengali bn ben, Tamil ta tam, Telugu te tel, Thai th tha, Lao lo lao,
Burmese my mya bur, Khmer km khm, Vietnamese vi vie, Korean ko kor, Japanese ja jpn,
Chinese zh zho chi cmn yue, Czech cs ces cze, Slovak sk slk slo, Hungarian hu hun,
Romanian ro ron rum, Danish da dan, Norwegian no nor nob nb, Finnish fi fin, Estonian et est,
Latvian lv lav, Lithuanian lt lit, Slovenian sl slv, Croatian hr hrv, Catalan ca cat,
Swahili sw swa swh, Yoruba yo yor, Hausa ha hau, Zulu zu zul, Amharic am amh, Tagalog tl tgl fil,
Malay ms msa zsm, Nepali ne nep npi, Somali so som, Georgian ka kat, Armenian hy hye
"""
_NAME_OF = {
    word.lower(): words[0]
    for words in (entry.split() for entry in _CODES.replace("\n", " ").split(","))
    for word in words
}
SCRIPT_OF = {
    **dict.fromkeys(("Russian", "Ukrainian", "Bulgarian"), "Cyrillic"),
    **dict.fromkeys(("Arabic", "Persian", "Urdu"), "Arabic"),
    **dict.fromkeys(("Hindi", "Nepali"), "Devanagari"),
    **{"Greek": "Greek", "Hebrew": "Hebrew", "Bengali": "Bengali", "Tamil": "Tamil"},
    **{"Telugu": "Telugu", "Thai": "Thai", "Lao": "Lao", "Burmese": "Myanmar", "Khmer": "Khmer"},
    **{"Korean": "Hangul", "Japanese": "Japanese", "Chinese": "Han", "Amharic": "Ethiopic"},
    **{"Georgian": "Georgian", "Armenian": "Armenian"},
}
"""Language -> its script, by Unicode's name of it; languages in Latin letters are not here."""

TWO_SCRIPTS = frozenset({"Serbian"})
"""Languages that some write in Latin and others in Cyrillic letters."""

_PART = re.compile(r"[-_]")


def language_name(code: str | None) -> str | None:
    """The English name of a language, from a code such as "fr", "fra_Latn", "fr_XX" or "fr-CA".

    Returns:
        None for a code that the table does not have.
    """
    return _NAME_OF.get(_PART.split((code or "").strip().lower())[0])


def same_language(one: str, other: str) -> bool:
    """Whether two codes mean the same language, whatever region or script they add."""
    first, second = (_PART.split(code.strip().lower())[0] for code in (one, other))
    return first == second or (
        first in _NAME_OF and second in _NAME_OF and _NAME_OF[first] == _NAME_OF[second]
    )
