"""Words of a text as a reader counts them: where each begins and ends."""

import re
import sys
import unicodedata
from functools import cache

__all__ = ["SPACELESS", "word_spans"]

SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Characters of scripts without blanks between words, for a set in a pattern."""


@cache
def _word() -> re.Pattern[str]:
    # Accents and vowel signs by themselves, which Python does not count as letters.
    every = (chr(number) for number in range(0x300, min(0x1FFFF, sys.maxunicode)))
    marks = "".join(c for c in every if unicodedata.category(c) in ("Mn", "Mc"))
    letter = rf"[^\W_{SPACELESS}][{re.escape(marks)}\u200c\u200d]*"
    part = rf"(?:{letter})+"
    return re.compile(rf"[{SPACELESS}]|{part}(?:['\u2019-]{part})*|[^\s\w]|_")


def word_spans(text: str) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each word.

    A word is a run of letters and digits, with apostrophes and hyphens inside; a character of a
    script without blanks; or a single character of punctuation.
    """
    return [match.span() for match in _word().finditer(text)]
