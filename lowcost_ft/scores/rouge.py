"""ROUGE-1, ROUGE-2 and ROUGE-L of written texts, as the package rouge-score counts them.

Source:
    Lin (2004), ROUGE: A Package for Automatic Evaluation of Summaries. `tests/test_text_scores.py`
    compares with figures of rouge-score 0.1.2 (without its stemmer, as is its default).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROUGE", "TokenRule", "rouge_counts", "rouge_of", "token_rule", "tokens_of"]

Floats = NDArray[np.float64]
TokenRule = Literal["ascii", "unicode"]
"""What a token is. ascii: a run of a-z and 0-9, as in rouge-score; any other letter parts words.
unicode: a run of letters, with their vowel signs, and digits of any script, or one character of a
script that writes no blanks between words, such as Chinese."""

ROUGE = ("rouge1", "rouge2", "rougeL")

_ASCII_TOKEN = re.compile(r"[a-z0-9]+")
_LETTERS_IN_ASCII = 0.99
"""Share of plain letters from which on texts count as English."""
# Thai, Lao, Myanmar, Khmer; kana and Chinese characters with their extensions.
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_ALONE += "\uf900-\ufaff\U00020000-\U000323af"


@cache
def _unicode_token() -> re.Pattern[str]:
    # Vowel signs and accents by themselves, which Python does not count as letters: without them
    # the words of Hindi or Tamil would be cut at each vowel.
    every = (chr(number) for number in range(0x300, 0x1FFFF))
    marks = "".join(c for c in every if unicodedata.category(c) in ("Mn", "Mc"))
    # With the joiners that stand inside words, as in Persian.
    return re.compile(rf"[{_ALONE}]|(?:[^\W_{_ALONE}][{re.escape(marks)}\u200c\u200d]*)+")


def token_rule(texts: Sequence[str]) -> TokenRule:
    """The rule for texts of one language: `ascii` where nearly all of their letters are plain.

    In a text of another script, or with accents, rouge-score's rule would find other words than
    there are, or none at all.
    """
    letters = plain = 0
    for text in texts:
        letters += sum(map(str.isalpha, text))
        plain += sum(c.isascii() and c.isalpha() for c in text)
    return "ascii" if plain >= _LETTERS_IN_ASCII * letters else "unicode"


def tokens_of(text: str, rule: TokenRule) -> list[str]:
    """The tokens of a text, in small letters."""
    if rule == "ascii":
        return _ASCII_TOKEN.findall(text.lower())
    return _unicode_token().findall(unicodedata.normalize("NFC", text).lower())


def rouge_counts(
    predictions: Sequence[str], references: Sequence[Sequence[str]], rule: TokenRule
) -> dict[str, Floats]:
    """The F measure of each text with the best of its references, for each kind of ROUGE.

    Args:
        predictions: A text a row.
        references: One or several texts a row.
        rule: What a token is.

    Returns:
        For each of `ROUGE` what is summed, (rows, 2): the F measure, and 1.
    """
    counts = {name: np.ones((len(predictions), 2)) for name in ROUGE}
    for row, (prediction, texts) in enumerate(zip(predictions, references, strict=True)):
        found = tokens_of(prediction, rule)
        scores = [_scores(found, tokens_of(text, rule)) for text in texts]
        for name, values in zip(ROUGE, zip(*scores, strict=True), strict=True):
            counts[name][row, 0] = max(values)
    return counts


def rouge_of(sums: Floats) -> Floats:
    """The mean F measure of summed counts (..., 2), from 0 to 1."""
    return sums[..., 0] / np.maximum(sums[..., 1], 1)


def _scores(found: list[str], true: list[str]) -> tuple[float, float, float]:
    return (
        _ngram_f(found, true, 1),
        _ngram_f(found, true, 2),
        _f(_common_length(found, true), len(found), len(true)),
    )


def _ngram_f(found: list[str], true: list[str], size: int) -> float:
    ones, others = (
        Counter(zip(*(tokens[start:] for start in range(size)), strict=False))
        for tokens in (found, true)
    )
    return _f((ones & others).total(), ones.total(), others.total())


def _f(shared: int, found: int, true: int) -> float:
    if not shared:
        return 0.0
    precision, recall = shared / found, shared / true
    return 2 * precision * recall / (precision + recall)


def _common_length(found: list[str], true: list[str]) -> int:
    """Length of the longest common subsequence.

    One integer holds a row of the usual table, a bit a token, so that long documents cost
    milliseconds.

    Source:
        Hyyrö (2004), Bit-parallel LCS-length computation revisited.
    """
    places: dict[str, int] = {}
    for place, token in enumerate(true):
        places[token] = places.get(token, 0) | 1 << place
    every = (1 << len(true)) - 1
    row = every
    for token in found:
        matched = row & places.get(token, 0)
        row = ((row + matched) | (row - matched)) & every
    return len(true) - row.bit_count()
