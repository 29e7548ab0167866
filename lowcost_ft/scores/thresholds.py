"""Scores from which on a multi-label model gives a label, chosen on validation data."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowcost_ft.scores.sums import f1_of

__all__ = ["DEFAULT_THRESHOLD", "best_micro_f1", "choose_thresholds", "constant_micro_f1"]

DEFAULT_THRESHOLD = 0.5
"""Of models whose thresholds were never chosen."""

POSITIVES_FOR_ITS_OWN = 30
"""Rows of a label for which the label gets a threshold of its own.

If scores were true probabilities, one threshold for all labels would give the best micro F1, so a
label leaves the common one only on good evidence. With 30 rows the share of them that a threshold
finds is known to about 0.09 (a binomial's standard error); with fewer the choice is noise.
"""

Floats = NDArray[Any]
Bools = NDArray[np.bool_]


def choose_thresholds(scores: Floats, truth: Bools) -> list[float]:
    """The thresholds with the best micro F1: one for all labels, then one for each frequent label.

    Args:
        scores: `(examples, labels)`, from 0 to 1.
        truth: `(examples, labels)`, whether the label applies.

    Returns:
        A threshold for each label; a label applies at its threshold and above. 0.5 where the
        examples have no label at all.
    """
    scores = np.asarray(scores, np.float64)
    if not truth.any():
        return [DEFAULT_THRESHOLD] * scores.shape[1]
    common, _ = _best_cut(scores.ravel(), truth.ravel(), np.zeros(3))
    thresholds = np.full(scores.shape[1], common)
    predicted = scores >= thresholds
    right, found = (predicted & truth).sum(axis=0), predicted.sum(axis=0)
    true = truth.sum(axis=0)
    # The most frequent first, since their thresholds move the sums for the others.
    for label in sorted(range(len(true)), key=lambda label: -true[label]):
        if true[label] < POSITIVES_FOR_ITS_OWN:
            break
        others = np.arange(len(true)) != label
        rest = np.array([right[others].sum(), found[others].sum(), true[others].sum()], float)
        before = f1_of(rest + np.array([right[label], found[label], true[label]]))
        cut, f1 = _best_cut(scores[:, label], truth[:, label], rest)
        if f1 > before:
            thresholds[label] = cut
            chosen = scores[:, label] >= cut
            right[label], found[label] = (chosen & truth[:, label]).sum(), chosen.sum()
    return [float(threshold) for threshold in thresholds]


def best_micro_f1(scores: Floats, truth: Bools) -> float:
    """The micro F1 of the best common threshold, chosen on the very examples that it is for."""
    return _best_cut(scores.astype(np.float64).ravel(), truth.ravel(), np.zeros(3))[1]


def constant_micro_f1(truth: Bools) -> float:
    """The best micro F1 of a model that gives every example the same labels."""
    true = np.sort(truth.sum(axis=0))[::-1].astype(float)
    right, answers = np.cumsum(true), np.arange(1, len(true) + 1) * len(truth)
    counts = np.stack([right, answers, np.full_like(right, true.sum())], axis=1)
    return float(f1_of(counts).max(initial=0.0))


def _best_cut(scores: Floats, truth: Bools, rest: Floats) -> tuple[float, float]:
    """The threshold with the best F1, and that F1, when `rest` (right, found, true) is added.

    It lies half-way between two scores that differ, so that rounding changes no decision. Of
    equally good ones the nearest to 0.5 is taken.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    # A cut after the last of equal scores; one before the first gives nothing.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    right = np.append(0, hits[ends]) + rest[0]
    found = np.append(0, ends + 1) + rest[1]
    f1 = f1_of(np.stack([right, found, np.full(len(found), truth.sum() + rest[2])], axis=1))
    values = np.concatenate([[1.0], ranked[ends], [0.0]])
    cuts = (values[:-1] + values[1:]) / 2
    cuts[0] = max(cuts[0], np.nextafter(ranked[0], 2.0))  # Above a score of 1.0, too.
    best = np.flatnonzero(f1 == f1.max())
    cut = best[np.argmin(np.abs(cuts[best] - DEFAULT_THRESHOLD))]
    return float(cuts[cut]), float(f1[cut])
