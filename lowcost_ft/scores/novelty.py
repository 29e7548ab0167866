"""Texts unlike the training data: how far a text is from those, and from which distance on.

The distance is Mahalanobis': that from the mean of the training texts, measured in each direction
by how far these spread there (Lee et al. 2018, arXiv:1807.03888, without classes; for transformers
Podolskiy et al. 2021, arXiv:2101.03778). States of a middle layer tell unlike texts best.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_REFERENCES", "Novelty", "auroc", "auroc_ci95", "fit_novelty"]

MOST_REFERENCES = 1000
"""Training texts that are kept to compare with: two megabytes at a width of 1,024."""
FALSE_ALARMS = 0.05
"""Share of the validation texts that lie beyond the threshold."""
_RIDGE = 0.1
"""Is added to the spread in each direction, as a share of the mean: few texts do not spread into
every direction, and others are not infinitely far off for that."""
_AT_ONCE = 2048


@dataclass(frozen=True, kw_only=True)
class Novelty:
    """The training texts to compare with, and the distance from which on a text is unlike them.

    The covariance of wide states would be large; it is never written down, since the texts that it
    comes from give its inverse (Woodbury's identity).

    Attributes:
        references: Pooled states less their mean, by `scale`, float16 `(texts, width)`.
        mean: Their mean, float32 `(width,)`.
        scale: The root of their mean variance.
        threshold: A distance.
    """

    references: NDArray[Any]
    mean: NDArray[Any]
    scale: float
    threshold: float

    @cached_property
    def _inverse(self) -> tuple[NDArray[Any], NDArray[Any], float]:
        known = self.references.astype(np.float64)
        ridge = _RIDGE * float((known**2).mean()) or 1.0
        inner = known @ known.T
        inner[np.diag_indices_from(inner)] += len(known) * ridge
        return known, np.linalg.inv(inner), ridge

    def distances(self, states: NDArray[Any]) -> NDArray[np.float64]:
        """How far texts are from the training texts; these are about 1 away themselves.

        Args:
            states: Their pooled states, `(texts, width)`.
        """
        known, inverse, ridge = self._inverse
        found = []
        for start in range(0, len(states), _AT_ONCE):
            away = (states[start : start + _AT_ONCE].astype(np.float64) - self.mean) / self.scale
            along = away @ known.T  # (texts, references)
            inside = np.einsum("ij,ij->i", along @ inverse, along)
            squares = ((away**2).sum(axis=1) - inside) / ridge
            found.append(np.sqrt(np.maximum(squares, 0.0) / states.shape[1]))
        return np.concatenate(found or [np.empty(0)])


def fit_novelty(training: NDArray[Any], validation: NDArray[Any]) -> Novelty:
    """Compares with training texts, at a threshold that 5% of the validation texts exceed.

    Args:
        training: Pooled states of training texts, `(texts, width)`.
        validation: Pooled states of validation texts.
    """
    mean = training.mean(axis=0, dtype=np.float64)
    centred = training.astype(np.float64) - mean
    scale = float(np.sqrt((centred**2).mean())) or 1.0
    kept: dict[str, Any] = {
        "references": (centred / scale).astype(np.float16),
        "mean": mean.astype(np.float32),
        "scale": scale,
    }
    distances = Novelty(**kept, threshold=np.inf).distances(validation)
    threshold = float(np.quantile(distances, 1 - FALSE_ALARMS, method="higher"))
    return Novelty(**kept, threshold=threshold)


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
