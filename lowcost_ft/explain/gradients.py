"""Integrated gradients, in as many steps as it takes to account for the whole difference.

The score of a token is the integral of the decision's slope along the straight way from a text of
which nothing is shown to the whole text (Sundararajan et al. 2017, arXiv:1703.01365). All scores
together must be the difference of the decision's value between the two ends. That holds for every
part of the way, too, so the error of each part is known, and those parts that are not exact enough
are cut in two. Each is integrated by Gauss and Legendre's rule.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["SMALLEST_DIFFERENCE", "Attribution", "integrated_gradients"]

SMALLEST_DIFFERENCE = 0.01
"""Errors are told as a share of the difference, or of this where that is smaller."""
_POINTS = 4
_FIRST_PARTS = 4
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_POINTS)


class _Value(Protocol):
    @property
    def tokens(self) -> int: ...
    def values(self, shares: np.ndarray) -> np.ndarray: ...
    def slopes(self, shares: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """What each token has to do with a decision.

    Attributes:
        scores: `(tokens,)`.
        value: Value of the decision for the whole text.
        empty_value: Where nothing is shown.
        steps: Gradients that were computed.
        tolerance: The error that was asked for.
    """

    scores: np.ndarray
    value: float
    empty_value: float
    steps: int
    tolerance: float

    @property
    def difference(self) -> float:
        """What the scores should sum up to."""
        return self.value - self.empty_value

    @property
    def error(self) -> float:
        """How far their sum is from it, as a share (see `SMALLEST_DIFFERENCE`)."""
        missed = abs(float(self.scores.sum()) - self.difference)
        return missed / max(abs(self.difference), SMALLEST_DIFFERENCE)

    @property
    def converged(self) -> bool:
        """Whether the error is as small as was asked for."""
        return self.error <= self.tolerance


def integrated_gradients(decided: _Value, *, tolerance: float, max_steps: int) -> Attribution:
    """The score of each token.

    Args:
        decided: The decision.
        tolerance: The largest error, as a share of the difference: the errors of all parts of the
            way together, so that they cannot hide each other.
        max_steps: Most gradients.
    """
    tokens = decided.tokens
    edges = np.linspace(0, 1, _FIRST_PARTS + 1)
    values = dict(zip(edges.tolist(), decided.values(_evenly(edges, tokens)), strict=True))
    open_parts = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    done: dict[tuple[float, float], np.ndarray] = {}
    steps = 0
    while True:
        for part, scores in zip(open_parts, _integrals(decided, open_parts), strict=True):
            done[part] = scores
        steps += _POINTS * len(open_parts)
        scale = max(abs(values[1.0] - values[0.0]), SMALLEST_DIFFERENCE)
        errors = {
            (low, high): abs(float(scores.sum()) - (values[high] - values[low])) / scale
            for (low, high), scores in done.items()
        }
        wrong = sorted(errors, key=lambda part: -errors[part])
        wrong = [part for part in wrong if errors[part] > tolerance / len(errors)]
        room = (max_steps - steps) // (2 * _POINTS)
        if sum(errors.values()) <= tolerance or not wrong or room < 1:
            break
        open_parts = []
        halves = [(low, (low + high) / 2, high) for low, high in wrong[:room]]
        middles = np.array([middle for _, middle, _ in halves])
        found = decided.values(_evenly(middles, tokens))
        values |= dict(zip(middles.tolist(), found, strict=True))
        for low, middle, high in halves:
            del done[low, high]
            open_parts += [(low, middle), (middle, high)]
    return Attribution(
        scores=np.sum(list(done.values()), axis=0),
        value=float(values[1.0]),
        empty_value=float(values[0.0]),
        steps=steps,
        tolerance=tolerance,
    )


def _integrals(decided: _Value, parts: list[tuple[float, float]]) -> np.ndarray:
    """The integral of each token's slope over each part, `(parts, tokens)`."""
    low, high = np.array(parts).T[..., None]  # (parts, 1) each
    shares = (low + high) / 2 + (high - low) / 2 * _NODES  # (parts, points)
    slopes = decided.slopes(_evenly(shares.ravel(), decided.tokens))
    weighted = slopes.reshape(len(parts), _POINTS, -1) * _WEIGHTS[None, :, None]
    integrals: np.ndarray = weighted.sum(1) * (high - low) / 2
    return integrals


def _evenly(shares: np.ndarray, tokens: int) -> np.ndarray:
    """Shares that are equal for every token, `(points, tokens)`."""
    return np.repeat(shares[:, None], tokens, axis=1)
