"""Bootstrap intervals of scores that are computed from sums over examples."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["interval", "paired_difference", "resampled_sums", "share_interval", "with_width"]

RESAMPLES = 1000
Floats = NDArray[np.float64]


def interval(score: Callable[[Floats], Floats], statistics: Floats, seed: int) -> list[float]:
    """95% percentile interval of a score under resampling of the examples with replacement.

    Each example is counted once, beforehand; a resample only draws how often it takes part. So
    the cost is linear in the examples: about a quarter of a second for 10,000 on one core.

    Args:
        score: From sums (resamples, statistics) to scores (resamples,).
        statistics: What is summed, (examples, statistics).
        seed: Seed of the draws.

    Returns:
        [low, high]; [0.0, 0.0] for no examples.

    Source:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.
    """
    if not len(statistics):
        return [0.0, 0.0]
    low, high = np.percentile(score(resampled_sums(statistics, seed)), [2.5, 97.5])
    return [float(low), float(high)]


def share_interval(score: Callable[[Floats], Floats], statistics: Floats, seed: int) -> list[float]:
    """`interval` of a score from 0 to 1, which has a width for 0 and 1 as well (`with_width`).

    Args:
        score: From sums (resamples, statistics) to scores (resamples,).
        statistics: What is summed, (examples, statistics); an example of zeros counts for nothing.
        seed: Seed of the draws.
    """
    return with_width(interval(score, statistics, seed), int(statistics.any(axis=1).sum()))


def with_width(ends: Sequence[float], examples: int) -> list[float]:
    """The ends of an interval that is not a point where every example is right, or none is.

    Resamples of examples that are all right are all right, too: their interval would be 1 to 1,
    however few they are. There it gets the ends of the exact interval of a share.

    Args:
        ends: Of the bootstrap's interval, of a score from 0 to 1.
        examples: How many examples the score counts.

    Source:
        Clopper and Pearson (1934), The Use of Confidence or Fiducial Limits Illustrated in the Case
        of the Binomial.
    """
    low, high = ends
    if not examples or low != high or low not in (0.0, 1.0):
        return [low, high]
    end = float(0.025 ** (1 / examples))
    return [end, 1.0] if low else [0.0, 1 - end]


def paired_difference(
    score: Callable[[Floats], Floats], statistics: Floats, others: Floats, seed: int
) -> tuple[float, list[float]]:
    """How much better one system scores than another on the same examples, with a 95% interval.

    Each resample draws the same examples for both, so that what makes an example hard or easy for
    both does not widen the interval.

    Args:
        score: From sums (..., statistics) to scores (...).
        statistics: What is summed of the one system, (examples, statistics).
        others: The same for the other system.
        seed: Seed of the draws.

    Returns:
        The difference of the scores of all examples, and [low, high].

    Source:
        Koehn (2004), Statistical Significance Tests for Machine Translation Evaluation.
    """
    if statistics.shape != others.shape:
        raise ValueError(
            f"statistics {statistics.shape} and {others.shape} are not of one data set"
        )
    if not len(statistics):
        return 0.0, [0.0, 0.0]
    difference = float(score(statistics.sum(axis=0)) - score(others.sum(axis=0)))
    width = statistics.shape[1]
    drawn = resampled_sums(np.concatenate([statistics, others], axis=1), seed)
    differences = score(drawn[:, :width]) - score(drawn[:, width:])
    low, high = np.percentile(differences, [2.5, 97.5])
    return difference, [float(low), float(high)]


def resampled_sums(statistics: Floats, seed: int) -> Floats:
    """Sums of the statistics in each resample, (resamples, statistics); none for no examples.

    Args:
        statistics: What is summed, (examples, statistics).
        seed: Seed of the draws.
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
