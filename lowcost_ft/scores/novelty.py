"""Texts unlike the training data: how far a text is from those, and from which distance on.

The distance of a text is 1 less the cosine between its pooled state and that of its nearest
training texts, which needs neither labels nor a covariance (Sun et al. 2022, arXiv:2204.06507).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_REFERENCES", "Novelty", "auroc", "auroc_ci95", "fit_novelty"]

MOST_REFERENCES = 1000
"""Training texts that are kept to compare with: two megabytes at a width of 1,024."""
FALSE_ALARMS = 0.05
"""Share of the validation texts that lie beyond the threshold."""
_NEAREST = 5
_AT_ONCE = 2048


@dataclass(frozen=True, kw_only=True)
class Novelty:
    """The training texts to compare with, and the distance from which on a text is unlike them.

    Attributes:
        references: Unit vectors, float16 `(texts, width)`.
        mean: Is taken off each pooled state first, float32 `(width,)`.
        threshold: A distance.
    """

    references: NDArray[Any]
    mean: NDArray[Any]
    threshold: float

    def distances(self, states: NDArray[Any]) -> NDArray[np.float64]:
        """How far texts are from the training texts: 0 (the same) to 2.

        Args:
            states: Their pooled states, `(texts, width)`.
        """
        known = self.references.astype(np.float32)
        nearest = min(_NEAREST, len(known))
        found = [
            np.partition(_units(states[start : start + _AT_ONCE], self.mean) @ known.T, -nearest)[
                :, -nearest
            ]
            for start in range(0, len(states), _AT_ONCE)
        ]
        return 1.0 - np.concatenate(found or [np.empty(0, np.float32)]).astype(np.float64)


def _units(states: NDArray[Any], mean: NDArray[Any]) -> NDArray[np.float32]:
    centred = states.astype(np.float32) - mean
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)


def fit_novelty(training: NDArray[Any], validation: NDArray[Any]) -> Novelty:
    """Compares with training texts, at a threshold that 5% of the validation texts exceed.

    Args:
        training: Pooled states of training texts, `(texts, width)`.
        validation: Pooled states of validation texts.
    """
    mean = training.mean(axis=0, dtype=np.float64).astype(np.float32)
    found = Novelty(
        references=_units(training, mean).astype(np.float16), mean=mean, threshold=np.inf
    )
    distances = found.distances(validation)
    threshold = float(np.quantile(distances, 1 - FALSE_ALARMS, method="higher"))
    return Novelty(references=found.references, mean=mean, threshold=threshold)


def auroc(inside: NDArray[Any], outside: NDArray[Any]) -> float:
    """The probability that a text from outside lies farther off than one from inside.

    Args:
        inside: Distances of texts like the training data.
        outside: Distances of others.
    """
    ranked = np.sort(inside)
    below = np.searchsorted(ranked, outside, side="left")
    upto = np.searchsorted(ranked, outside, side="right")
    return float((below + upto).mean() / (2 * len(ranked)))


def auroc_ci95(inside: NDArray[Any], outside: NDArray[Any], seed: int = 0) -> list[float]:
    """95% interval of `auroc` under resampling of both kinds of texts."""
    generator = np.random.default_rng(seed)
    drawn = [
        auroc(generator.choice(inside, len(inside)), generator.choice(outside, len(outside)))
        for _ in range(1000)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return [float(low), float(high)]
