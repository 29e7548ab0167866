"""Whether a difference between groups is more than chance: over texts, over words, over many tests.

A model reacts a little to any word. A difference between groups therefore counts only beyond a
least size, and only if it is neither due to a few texts nor to a few words of the groups: both are
samples of many (Clark 1973, The language-as-fixed-effect fallacy). Each is tested by itself, and
the larger p-value counts.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLIPS", "holm", "least_p", "over_texts", "over_words"]

Floats = NDArray[np.float64]

FLIPS = 9_999
"""Random choices of signs, beside the one that was observed."""
_FLIPS_A_COMPARISON = 200
"""At least so many: the smallest p-value must stay one after Holm's correction."""
_AT_ONCE = 1_000


def least_p(texts: int) -> float:
    """The smallest p-value that `over_texts` can give: that of all signs alike, up or down."""
    return float(2.0 ** (1 - texts))


def over_texts(differences: Floats, *, least: float, seed: int, comparisons: int = 1) -> Floats:
    """P-values of a paired permutation test: the signs of the texts' differences are flipped.

    The null is that the mean difference is at most `least`: what lies beyond it comes with either
    sign. Each text keeps its sign for all values, so that the largest of many studentized means
    corrects for how many values there are.

    Args:
        differences: Differences of each text between two groups, `(texts, values)`.
        least: The smallest mean difference that matters.
        seed: Seed of the signs.
        comparisons: How many p-values of the audit are corrected together.

    Returns:
        `(values,)`, two-sided, corrected for the number of values.

    Source:
        Westfall and Young (1993), Resampling-Based Multiple Testing, section 2.3 (the maximum);
        Winkler et al. (2014), Permutation inference for the general linear model (sign flips).
    """
    beyond = np.concatenate([differences - least, -differences - least], axis=1)  # (N, 2V)
    norms = np.sqrt((beyond**2).sum(axis=0))  # Signs do not change it.
    units = beyond / np.maximum(norms, 1e-12)
    observed = units.sum(axis=0)
    random = np.random.default_rng(seed)
    larger = np.zeros(len(observed))
    flips = max(FLIPS, _FLIPS_A_COMPARISON * comparisons)
    for first in range(0, flips, _AT_ONCE):
        count = min(_AT_ONCE, flips - first)
        signs = random.integers(0, 2, (count, len(units))) * 2.0 - 1
        highest = (signs @ units).max(axis=1)  # (count,)
        larger += (highest[:, None] >= observed - 1e-9).sum(axis=0)
    p_values = (1 + larger) / (1 + flips)
    found: Floats = p_values.reshape(2, -1).min(axis=0)
    return found


def over_words(one: Floats, other: Floats, *, least: float) -> Floats:
    """P-values of Welch's t-test between the words of two groups.

    Args:
        one: What each word of a group does, `(words, values)`.
        other: The same for the other group, or for all others.
        least: The smallest difference of the means that matters.

    Returns:
        `(values,)`, two-sided, corrected for the number of values.
    """
    from scipy.stats import t

    squares = [sample.var(axis=0, ddof=1) / len(sample) for sample in (one, other)]
    total = np.maximum(squares[0] + squares[1], 1e-24)
    of_each = sum(
        square**2 / (len(sample) - 1) for square, sample in zip(squares, (one, other), strict=True)
    )
    freedom = np.clip(
        total**2 / np.maximum(of_each, 1e-300),
        min(len(one), len(other)) - 1,
        len(one) + len(other) - 2,
    )
    beyond = np.abs(one.mean(axis=0) - other.mean(axis=0)) - least
    p_values = 2 * t.sf(beyond / np.sqrt(total), freedom)
    found: Floats = np.minimum(1, p_values * one.shape[1])
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for how many there are, in their order.

    Source:
        Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        corrected[int(index)] = min(1.0, largest)
    return corrected
