"""BLEU and chrF of written texts: sacrebleu counts, so that figures compare with published ones.

Its score of a whole data set is a function of sums over the rows, which is repeated here for many
sums at once: a bootstrap then costs no second counting. `tests/test_text_scores.py` compares it
with sacrebleu's own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

__all__ = ["bleu_counts", "bleu_of", "bleu_tokenizer", "chrf_counts", "chrf_of"]

Floats = NDArray[np.float64]

_BLEU_ORDER = 4
_CHRF_ORDER = 6
_BETA_SQUARED = 4

_WITHOUT_BLANKS = {"zh": "zh", **dict.fromkeys(("ja", "th", "lo", "my", "km"), "char")}
"""Language -> sacrebleu's tokenizer. Its own for Japanese needs MeCab; characters need nothing."""

_SHORT_CODE = {
    **dict.fromkeys(("zho", "chi", "cmn", "yue", "chinese"), "zh"),
    **dict.fromkeys(("jpn", "japanese"), "ja"),
    **dict.fromkeys(("tha", "thai"), "th"),
    "lao": "lo",
    **dict.fromkeys(("mya", "bur", "burmese"), "my"),
    **dict.fromkeys(("khm", "khmer"), "km"),
}
"""What else these languages are called -> their codes of two letters."""


def bleu_tokenizer(language: str | None) -> str:
    """What cuts texts of a language for BLEU, by sacrebleu's name; 13a where there are blanks.

    Args:
        language: A code such as "fr", "zh-CN", "zho_Hans" or "ja_XX"; None: a language with blanks.
    """
    code = (language or "").replace("-", "_").partition("_")[0].lower()
    return _WITHOUT_BLANKS.get(_SHORT_CODE.get(code, code), "13a")


def bleu_counts(
    predictions: Sequence[str], references: Sequence[Sequence[str]], tokenizer: str = "13a"
) -> tuple[Floats, str]:
    """What BLEU is computed from, and sacrebleu's signature.

    Args:
        predictions: A text a row, at least one row.
        references: One or several texts a row; rows may have different numbers of them.
        tokenizer: sacrebleu's name of it.

    Returns:
        (rows, 10): length of the text and of the reference closest to it, n-grams that match, and
        n-grams that there are, for n from 1 to 4.
    """
    from sacrebleu.metrics import BLEU  # Not needed to predict.

    return _counted(BLEU(tokenize=tokenizer, force=True), predictions, references)


def bleu_of(sums: Floats) -> Floats:
    """BLEU, from 0 to 100, of summed counts (..., 10); smoothed as sacrebleu does it by default.

    Source:
        Papineni et al. (2002), BLEU; Chen and Cherry (2014), method 3.
    """
    found, true = sums[..., 0], sums[..., 1]
    right, total = sums[..., 2 : 2 + _BLEU_ORDER], sums[..., 2 + _BLEU_ORDER :]
    # An n without any match counts as half of a match, the next such n as a quarter, and so on.
    missed = np.cumsum(right == 0, axis=-1)
    smoothed = np.where(right == 0, 0.5**missed, right)
    defined = (total > 0).all(axis=-1) & (right > 0).any(axis=-1)
    logs = np.log(smoothed / np.maximum(total, 1)).mean(axis=-1)
    penalty = np.minimum(1 - true / np.maximum(found, 1), 0.0)
    return np.where(defined, 100 * np.exp(logs + penalty), 0.0)


def chrf_counts(
    predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[Floats, str]:
    """What chrF is computed from, and sacrebleu's signature; see `bleu_counts`.

    Returns:
        (rows, 18): for n from 1 to 6 the n-grams of the text, of the best of its references, and
        those that match.
    """
    from sacrebleu.metrics import CHRF

    return _counted(CHRF(), predictions, references)


def chrf_of(sums: Floats) -> Floats:
    """chrF2, from 0 to 100, of summed counts (..., 18).

    Source:
        Popović (2015), chrF: character n-gram F-score for automatic MT evaluation.
    """
    parts = sums.reshape(*sums.shape[:-1], _CHRF_ORDER, 3)
    found, true, right = np.moveaxis(parts, -1, 0)
    used = (found > 0) & (true > 0)
    orders = np.maximum(used.sum(axis=-1), 1)
    precision = (right / np.maximum(found, 1) * used).sum(axis=-1) / orders
    recall = (right / np.maximum(true, 1) * used).sum(axis=-1) / orders
    weighted = _BETA_SQUARED * precision + recall
    return 100 * (1 + _BETA_SQUARED) * precision * recall / np.where(weighted > 0, weighted, 1.0)


def _counted(
    metric: "Metric", predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[Floats, str]:
    most = max(map(len, references))
    # sacrebleu wants the first reference of every row, then the second of every row, and so on.
    streams: Any = [
        [texts[i] if i < len(texts) else None for texts in references] for i in range(most)
    ]
    rows = metric._extract_corpus_statistics(list(predictions), streams)
    return np.array(rows, np.float64), str(metric.get_signature())
