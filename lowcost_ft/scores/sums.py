"""What scores are computed from: a few numbers an example, which are summed.

A score of any resample of the examples then costs one sum: see `bootstrap.py`.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowcost_ft.scores.iob2 import strict_spans

__all__ = [
    "accuracy_of",
    "entity_counts",
    "f1_of",
    "indicators",
    "label_counts",
    "moments",
    "pearson_of",
    "spearman_of",
]

Floats = NDArray[np.float64]


def indicators(
    predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str], kind: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which labels each example has: (examples, labels) for predictions and for references."""
    column = {label: index for index, label in enumerate(labels)}
    matrices = []
    for rows in (predictions, references):
        matrix = np.zeros((len(rows), len(column)), bool)
        for example, row in enumerate(rows):
            for label in row if kind == "multi_label" else [row]:
                if label not in column:
                    raise ValueError(f"label {label!r} is not among {list(labels)}")
                matrix[example, column[label]] = True
        matrices.append(matrix)
    return matrices[0], matrices[1]


def label_counts(predicted: NDArray[np.bool_], actual: NDArray[np.bool_]) -> Floats:
    """(examples, 3): labels that are right, predicted, true."""
    columns = [(predicted & actual).sum(axis=1), predicted.sum(axis=1), actual.sum(axis=1)]
    return np.stack(columns, axis=1).astype(float)


def entity_counts(predictions: list[list[str]], references: list[list[str]]) -> Floats:
    """(sentences, 3): entities that are right, predicted, true, by strict IOB2."""
    rows = []
    for predicted, actual in zip(predictions, references, strict=True):
        found, true = strict_spans(predicted), strict_spans(actual)
        rows.append((len(set(found) & set(true)), len(found), len(true)))
    return np.asarray(rows, float).reshape(-1, 3)


def f1_of(counts: Floats) -> Floats:
    """2 * right / (predicted + true) of counts (..., 3); 0 where there is neither."""
    right, total = counts[..., 0], counts[..., 1] + counts[..., 2]
    return 2 * right / np.maximum(total, 1)


def accuracy_of(counts: Floats) -> Floats:
    """Right / true of counts (..., 3), with one true label an example."""
    return counts[..., 0] / np.maximum(counts[..., 2], 1)


def moments(predicted: Floats, actual: Floats) -> Floats:
    """(examples, 6): 1, x, y, xx, yy, xy, from which a correlation is computed.

    Both are scaled to mean 0 and a largest absolute value of 1: correlation does not change, and
    the squares neither overflow nor cancel. Constants become exact zeros.
    """
    both = np.stack([predicted, actual], axis=1)
    if not len(both) or not np.isfinite(both).all():
        return np.zeros((len(both), 6))
    both = both / np.maximum(np.abs(both).max(axis=0), np.finfo(float).tiny)
    both = np.where(np.ptp(both, axis=0) == 0, 0.0, both - both.mean(axis=0))
    largest = np.abs(both).max(axis=0)
    x, y = (both / np.where(largest == 0, 1.0, largest)).T
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def pearson_of(sums: Floats) -> Floats:
    """Pearson's correlation from summed moments (..., 6); 0 where a variance is 0."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    n = np.maximum(n, 1)
    x_spread, y_spread = xx - x * x / n, yy - y * y / n
    # A resample of equal values has a spread of rounding error, not of zero.
    defined = np.minimum(x_spread, y_spread) > 4 * n * np.finfo(float).eps
    correlation = (xy - x * y / n) / np.sqrt(np.where(defined, x_spread * y_spread, 1.0))
    return np.where(defined, np.clip(correlation, -1.0, 1.0), 0.0)


def spearman_of(predicted: Floats, actual: Floats) -> float:
    if not (np.isfinite(predicted).all() and np.isfinite(actual).all()) or len(actual) < 2:
        return 0.0
    from scipy import stats  # Not needed to predict.

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        correlation = float(stats.spearmanr(predicted, actual).statistic)
    return correlation if np.isfinite(correlation) else 0.0
