"""What validation data promises of answers from a score on: how many, and how many are right."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Promise", "promise_of", "promises"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What validation data says of the answers from a score on.

    Attributes:
        min_score: The score, rounded down to hundredths.
        coverage: Share of all answers that have it.
        precision: Share of these that are right; None where there are none.
        precision_ci95: Its interval (Wilson 1927).
        answers: How many there are.
    """

    min_score: float
    coverage: float
    precision: float | None
    precision_ci95: list[float] | None
    answers: int

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        return asdict(self)


def promises(scores: Floats, right: NDArray[np.bool_]) -> dict[str, list[Any]]:
    """Counts of answers, and of right ones, from each hundredth of a score on."""
    steps = np.arange(101) / 100
    ranked = np.sort(scores)
    hits = np.sort(scores[right])
    return {
        "answers": [int(len(ranked) - place) for place in np.searchsorted(ranked, steps)],
        "right": [int(len(hits) - place) for place in np.searchsorted(hits, steps)],
    }


def promise_of(counts: Mapping[str, Any], min_score: float) -> Promise:
    """What `promises` says of a score.

    Args:
        counts: What `promises` returned.
        min_score: A score from 0 to 1.
    """
    place = int(min_score * 100 + 1e-9)
    answers, right = int(counts["answers"][place]), int(counts["right"][place])
    told = int(counts["answers"][0])
    precision, ends = None, None
    if answers:
        precision, ends = right / answers, _wilson(right, answers)
    return Promise(
        min_score=place / 100,
        coverage=answers / told if told else 0.0,
        precision=precision,
        precision_ci95=ends,
        answers=answers,
    )


def _wilson(right: int, answers: int) -> list[float]:
    z = 1.959964
    share, more = right / answers, z * z / answers
    middle = (share + more / 2) / (1 + more)
    half = z * np.sqrt(share * (1 - share) / answers + more / (4 * answers)) / (1 + more)
    return [float(max(0.0, middle - half)), float(min(1.0, middle + half))]
