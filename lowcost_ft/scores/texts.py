"""Scores of written texts: BLEU, chrF and ROUGE against references, and perplexity."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowcost_ft.scores.bootstrap import interval
from lowcost_ft.scores.overlap import (
    bleu_counts,
    bleu_of,
    bleu_tokenizer,
    chrf_counts,
    chrf_of,
)
from lowcost_ft.scores.rouge import ROUGE, rouge_counts, rouge_of, token_rule

__all__ = ["TEXT_METRICS", "Counted", "count_perplexity", "count_texts", "score_counted"]
__all__ += ["score_texts"]

Floats = NDArray[np.float64]

TEXT_METRICS = ("bleu", "chrf", *ROUGE)
"""What `score_texts` computes. BLEU and chrF go from 0 to 100, as in sacrebleu; ROUGE from 0 to 1,
as in rouge-score."""

_LARGEST_LOSS = 700.0
"""From here on a perplexity is larger than what a float holds."""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A score as a function of sums over the rows, so that any resample costs one sum.

    Two systems on the same rows are compared by `bootstrap.paired_difference`.

    Attributes:
        rows: What is summed, (rows, statistics).
        of: From sums (..., statistics) to scores (...).
        signature: How it was counted, for those who want to compare; None: its name says it.
    """

    rows: Floats
    of: Callable[[Floats], Floats]
    signature: str | None = None

    @property
    def score(self) -> float:
        """Of all rows together."""
        return float(self.of(self.rows.sum(axis=0)))


def count_texts(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[str] = TEXT_METRICS,
    language: str | None = None,
) -> dict[str, Counted]:
    """Counts what scores of texts are computed from.

    Args:
        predictions: A text a row.
        references: One or several texts a row, of which the best counts (ROUGE, chrF), or all
            together (BLEU).
        metrics: Which of `TEXT_METRICS`.
        language: Code of the language of the texts, which decides how BLEU cuts them.

    Raises:
        ValueError: Numbers of rows differ, a row has no reference, or a metric is unknown.
    """
    if unknown := set(metrics) - set(TEXT_METRICS):
        raise ValueError(f"unknown metrics {sorted(unknown)}; known: {', '.join(TEXT_METRICS)}")
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} texts for {len(references)} lists of references")
    if not all(references):
        raise ValueError("a row has no reference")
    if any(isinstance(texts, str) for texts in references):
        raise ValueError("references must be lists of texts, one list a row")
    found: dict[str, Counted] = {}
    if not len(predictions):
        return {name: Counted(rows=np.zeros((0, 2)), of=rouge_of) for name in metrics}
    if "bleu" in metrics:
        rows, signature = bleu_counts(predictions, references, bleu_tokenizer(language))
        found["bleu"] = Counted(rows=rows, of=bleu_of, signature=signature)
    if "chrf" in metrics:
        rows, signature = chrf_counts(predictions, references)
        found["chrf"] = Counted(rows=rows, of=chrf_of, signature=signature)
    if set(metrics) & set(ROUGE):
        rule = token_rule([text for texts in references for text in texts])
        for name, counts in rouge_counts(predictions, references, rule).items():
            signature = f"F1|tokens:{rule}|stemmer:no|refs:best"
            found[name] = Counted(rows=counts, of=rouge_of, signature=signature)
    return {name: found[name] for name in metrics}


def count_perplexity(losses: Sequence[float] | Floats, tokens: Sequence[float] | Floats) -> Counted:
    """Perplexity: the exponential of the mean loss of a token.

    Args:
        losses: Summed cross-entropy of each row, in nats.
        tokens: How many tokens of each row were summed.
    """
    rows = np.stack([np.asarray(losses, np.float64), np.asarray(tokens, np.float64)], axis=1)
    return Counted(rows=rows, of=_perplexity)


def _perplexity(sums: Floats) -> Floats:
    mean = sums[..., 0] / np.maximum(sums[..., 1], 1)
    return np.exp(np.minimum(mean, _LARGEST_LOSS))


def score_counted(counted: dict[str, Counted], *, seed: int = 0) -> dict[str, Any]:
    """Each score under its name, its 95% interval over rows (`..._ci95`), and its `..._signature`.

    Args:
        counted: By name.
        seed: Seed of the bootstrap.
    """
    scores: dict[str, Any] = {}
    for name, one in counted.items():
        scores[name] = one.score
        scores[f"{name}_ci95"] = interval(one.of, one.rows, seed)
        if one.signature is not None:
            scores[f"{name}_signature"] = one.signature
    return scores


def score_texts(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[str] = TEXT_METRICS,
    language: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores of texts with their intervals; see `count_texts` and `score_counted`.

    Returns:
        Also `examples`, the number of rows.
    """
    counted = count_texts(predictions, references, metrics=metrics, language=language)
    return {**score_counted(counted, seed=seed), "examples": len(predictions)}
