"""What many explanations say together: how exact they are, and whether their words matter."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowcost_ft.explain.explanations import ExplainedText, Explanation
from lowcost_ft.scores.bootstrap import interval

__all__ = ["summary_of"]


def summary_of(texts: Sequence[ExplainedText], *, seed: int = 0) -> dict[str, Any]:
    """Figures over all decisions.

    Args:
        texts: What was explained.
        seed: Seed of the bootstrap.

    Returns:
        `texts`, `decisions`, `steps` (their mean), `convergence_error` (`median`, `p95`, `worst`)
        and `not_converged`. Where it was asked for: `comprehensiveness` and `sufficiency`, each
        with its `mean`, `ci95` and the `random` mean; and `occlusion`: the mean rank correlation of
        its scores with those of the explanations, and in which share both name the same word first.
    """
    every = [explanation for text in texts for explanation in text.explanations]
    found: dict[str, Any] = {"texts": len(texts), "decisions": len(every)}
    if not every:
        return found
    errors = np.array([one.attribution.error for one in every])
    found["steps"] = float(np.mean([one.attribution.steps for one in every]))
    found["convergence_error"] = {
        "median": float(np.median(errors)),
        "p95": float(np.percentile(errors, 95)),
        "worst": float(errors.max()),
    }
    found["not_converged"] = sum(not one.attribution.converged for one in every)
    faithful = [one.faithfulness for one in every if one.faithfulness is not None]
    for name in ("comprehensiveness", "sufficiency") if faithful else ():
        own = np.array([getattr(one, name) for one in faithful])
        random = np.array([getattr(one, f"random_{name}") for one in faithful])
        found[name] = {
            "mean": float(own.mean()),
            "ci95": interval(
                lambda sums: sums[:, 0] / sums[:, 1],
                np.stack([own, np.ones(len(own))], axis=1),
                seed,
            ),
            "random": float(random.mean()),
        }
    checked = [one for one in every if one.words and one.words[0].occlusion is not None]
    if checked:
        ranks = [_correlation(one) for one in checked if len(one.words) > 2]
        found["occlusion"] = {
            "rank_correlation": float(np.mean(ranks)) if ranks else None,
            "same_first_word": float(np.mean([_same_first(one) for one in checked])),
        }
    return found


def _correlation(one: Explanation) -> float:
    from lowcost_ft.scores.sums import spearman_of

    scores, alone = (
        np.array([getattr(word, name) for word in one.words], float)
        for name in ("score", "occlusion")
    )
    return spearman_of(scores, alone)


def _same_first(one: Explanation) -> bool:
    scores = [[getattr(word, name) for word in one.words] for name in ("score", "occlusion")]
    return bool(np.argmax(scores[0]) == np.argmax(scores[1]))
