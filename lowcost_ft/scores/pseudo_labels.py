"""Which answers of a model may be taken as labels: how sure they must be, and how many a class."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["LEAST_ROWS", "Threshold", "balanced_rows", "choose_threshold"]

LEAST_ROWS = 10
"""Rows that a score is computed from at least; of fewer it says nothing."""

_NO_CLASS = ""
"""What rows without a class count as, such as sentences without entities."""


@dataclass(frozen=True)
class Threshold:
    """The lowest certainty of answers that are taken.

    Attributes:
        certainty: The threshold.
        score: The score of the validation rows that are as sure.
        rows: How many these are.
    """

    certainty: float
    score: float
    rows: int


def choose_threshold(
    certainty: np.ndarray,
    tallies: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
    *,
    target: float,
) -> tuple[Threshold | None, Threshold | None]:
    """The lowest threshold above which the score of the rows reaches a target.

    Args:
        certainty: How sure the model is of each labelled row, `(rows,)`.
        tallies: Numbers of each row whose sums give the score, `(rows, numbers)`.
        score: From sums `(..., numbers)` to scores `(...)`.
        target: The score to reach.

    Returns:
        The threshold, None where none reaches it; and the threshold of the best score. Both are
        None for fewer than `LEAST_ROWS` rows.
    """
    order = np.argsort(-certainty, kind="stable")
    ordered = certainty[order]
    scores = np.nan_to_num(score(np.cumsum(tallies[order], axis=0)))
    # Rows of equal certainty are taken together.
    usable = np.append(ordered[1:] < ordered[:-1], True) & (np.arange(len(order)) >= LEAST_ROWS - 1)
    places = np.flatnonzero(usable)
    if not len(order) or not len(places):
        return None, None

    def at(place: int) -> Threshold:
        return Threshold(float(ordered[place]), float(scores[place]), int(place) + 1)

    reached = places[scores[places] >= target]
    best = at(places[int(scores[places].argmax())])
    return (at(reached[-1]) if len(reached) else None), best


def balanced_rows(
    certainty: np.ndarray,
    classes: Sequence[frozenset[str]],
    labelled: Sequence[frozenset[str]],
) -> np.ndarray:
    """The surest answers of each class, so that no class drowns the others.

    A model that learns from its own answers comes to give those more often that it gave often. So
    a class gets no more rows than the median class has; unless the labelled rows show that it is
    more common. Then it gets the share that they put it at, two standard deviations below what was
    counted.

    Args:
        certainty: Certainty of each answer, `(rows,)`.
        classes: The classes of each answer.
        labelled: The classes of each labelled row.

    Returns:
        The numbers of the rows that are kept, ascending.
    """
    named = [_named(found) for found in classes]
    counts = Counter(name for found in named for name in found)
    if not counts:
        return np.empty(0, np.int64)
    known = Counter(name for found in labelled for name in _named(found))
    middle = math.ceil(statistics.median(counts.values()))
    room = {
        name: max(middle, int(_at_least(known[name]) / len(labelled) * len(classes)))
        for name in counts
    }
    kept = []
    for row in np.argsort(-certainty, kind="stable").tolist():
        # A row with a rare class beside a common one is not lost to the common one.
        if any(room[name] > 0 for name in named[row]):
            kept.append(row)
            for name in named[row]:
                room[name] -= 1
    return np.array(sorted(kept), np.int64)


def _named(classes: frozenset[str]) -> frozenset[Hashable]:
    return frozenset(classes) or frozenset((_NO_CLASS,))


def _at_least(count: int) -> float:
    return max(count - 2 * math.sqrt(count), 0.0)
