"""Calibration: scores as probabilities of being right, and how far off they are.

A model's scores are usually too high. One number, the temperature, or for answers that are not one
choice among classes two numbers, fitted on validation data, make them probabilities (Guo et al.
2017, arXiv:1706.04599; Platt 1999). Which answer is given never changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowcost_ft.scores.bootstrap import interval

__all__ = ["FEWEST_ANSWERS", "Graded", "ScoreMap", "calibration_error", "fit_scores"]

Floats = NDArray[np.float64]

FEWEST_ANSWERS = 50
"""With fewer answers on validation data a temperature would be noise."""
BINS = 15
_SIMULATIONS = 1000
_MANY_ANSWERS = 20_000
"""With more, a bin has so many that its right ones are drawn from a normal distribution: drawing
each answer a thousand times would take minutes."""
_LEVEL = 0.05
"""Of a test whose interval has 95%."""
_SMALLEST = 1e-30
_SUREST = 1e-6
"""Scores are means of 32-bit numbers, so that the last digits of 1 - score are rounding."""
_SLOPES = (0.05, 5.0)
"""Temperatures from 20 down to 0.2."""


@dataclass(frozen=True, kw_only=True)
class Graded:
    """The answers of a model to labelled examples, and which of them are right.

    Attributes:
        scores: What the model gives each answer, `(answers,)`, from 0 to 1.
        right: Whether it is right, `(answers,)`.
        owners: The number of the example that each belongs to, `(answers,)`, ascending.
        given: Whether a user is told of it, `(answers,)`.
        shares: Where an answer is one of several classes, their probabilities, `(answers,
            classes)`; else None.
        truth: The right class of each, -1 where the model does not know it, `(answers,)`; else
            None.
    """

    scores: NDArray[Any]
    right: NDArray[np.bool_]
    owners: NDArray[np.int64]
    given: NDArray[np.bool_]
    shares: NDArray[Any] | None = None
    truth: NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreMap:
    """From a model's scores to probabilities of being right.

    Attributes:
        temperature: Log-odds are divided by it.
        offset: Is added to log-odds afterwards; 0 where an answer is one of several classes.
    """

    temperature: float = 1.0
    offset: float = 0.0

    @classmethod
    def from_record(cls, record: Mapping[str, Any] | None) -> "ScoreMap | None":
        """The map that a run has recorded; None where it has none."""
        if not record or record.get("temperature") is None:
            return None
        return cls(temperature=record["temperature"], offset=record.get("offset") or 0.0)

    def of_shares(self, shares: NDArray[Any]) -> Floats:
        """Probabilities of classes that exclude each other, `(answers, classes)`: same order."""
        scaled = np.log(np.maximum(shares.astype(np.float64), _SMALLEST)) / self.temperature
        scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
        normalised: Floats = scaled / scaled.sum(axis=-1, keepdims=True)
        return normalised

    def of_scores(self, scores: NDArray[Any]) -> Floats:
        """Probabilities of answers that are right or wrong, each by itself: same order."""
        odds = _log_odds(scores) / self.temperature + self.offset
        probabilities: Floats = 1 / (1 + np.exp(-odds))
        return probabilities

    def apply(self, graded: Graded) -> Floats:
        """The probability of each answer."""
        if graded.shares is None:
            return self.of_scores(graded.scores)
        return np.asarray(self.of_shares(graded.shares).max(axis=-1), np.float64)


def _log_odds(scores: NDArray[Any]) -> Floats:
    kept = np.clip(np.asarray(scores, np.float64), _SUREST, 1 - _SUREST)
    odds: Floats = np.log(kept) - np.log1p(-kept)
    return odds


def fit_scores(graded: Graded) -> ScoreMap:
    """The map with the lowest log loss on labelled answers.

    As if one more answer had been wrong, since answers that are all right would make every score 1.
    For classes that exclude each other it is a temperature alone. For other answers, such as
    entities, it has an offset too: a score there is no probability, since one wrong border makes
    an entity wrong, and a temperature alone could not bring a score of 0.9 below 0.5.
    """
    from scipy.optimize import minimize, minimize_scalar  # Not needed to predict.

    if graded.shares is not None:
        assert graded.truth is not None
        known = graded.truth >= 0
        logs = np.log(np.maximum(graded.shares[known].astype(np.float64), _SMALLEST))
        own = logs[np.arange(len(logs)), graded.truth[known]]
        second = np.sort(logs, axis=-1)[:, -2]

        def loss_of_classes(slope: float) -> float:
            scaled = slope * logs
            top = scaled.max(axis=-1)
            sums = np.log(np.exp(scaled - top[:, None]).sum(axis=-1)) + top
            # One answer more, of which the second class is right: spread over all of them.
            return float((sums - slope * own).sum() + (sums - slope * second).mean())

        found = minimize_scalar(loss_of_classes, bounds=_SLOPES, method="bounded")
        return ScoreMap(temperature=round(1 / float(found.x), 4))
    odds, right = _log_odds(graded.scores), graded.right.astype(np.float64)
    # Platt's targets: as if one more answer had been right, and one more wrong.
    hits = right.sum()
    targets = np.where(right > 0, (hits + 1) / (hits + 2), 1 / (len(right) - hits + 2))

    def loss_and_slope(point: Floats) -> tuple[float, Floats]:
        values = point[0] * odds + point[1]
        loss = (np.logaddexp(0, values) - targets * values).mean()
        off = 1 / (1 + np.exp(-values)) - targets
        return float(loss), np.array([(off * odds).mean(), off.mean()])

    fitted = minimize(
        loss_and_slope,
        np.array([1.0, 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[_SLOPES, (-10.0, 10.0)],
    )
    slope, offset = map(float, fitted.x)
    return ScoreMap(temperature=round(1 / slope, 4), offset=round(offset, 4))


def calibration_error(
    scores: NDArray[Any],
    right: NDArray[np.bool_],
    owners: NDArray[np.int64],
    *,
    examples: int,
    seed: int = 0,
) -> dict[str, Any]:
    """How far scores are from the share of right answers, over 15 bins of equally many answers.

    The mean of |share of right answers - mean score| over bins is too high by noise, more so with
    few answers. What noise would add to the gaps that were seen, under a normal approximation in
    each bin, is taken off (Kumar, Liang and Ma 2019, arXiv:1909.10155). That is most of it where
    the gaps are large, and less than half where there are none: `p_calibrated` tells these apart.

    Args:
        scores: `(answers,)`.
        right: `(answers,)`.
        owners: The example of each answer; whole examples are resampled for the interval.
        examples: How many examples there are.
        seed: Seed of the resamples.

    Returns:
        `answers`, `ece` (debiased, at least 0), `ece_ci95`, `p_calibrated` (the share of perfectly
        calibrated answers with the same scores that look as far off: a small one says that the
        scores are not calibrated) and `bins`, each with mean `score`, share of `right` and number
        of `answers`. The interval begins at 0 where `p_calibrated` does not speak against 0:
        resamples have noise of their own on top of the data's, and never come so low.
    """
    scores, right = np.asarray(scores, np.float64), np.asarray(right, np.float64)
    order = np.argsort(scores, kind="stable")
    bins = np.empty(len(scores), np.int64)
    count = min(BINS, max(1, len(scores)))
    bins[order] = np.arange(len(scores)) * count // max(1, len(scores))
    each = np.zeros((examples, count, 3))  # Of each example in each bin: answers, scores, right.
    for place, values in enumerate((np.ones_like(scores), scores, right)):
        np.add.at(each[:, :, place], (owners, bins), values)
    sums = each.sum(axis=0)
    flat = each.reshape(examples, -1)

    def debiased(resampled: Floats) -> Floats:
        return np.maximum(_debiased(resampled.reshape(len(resampled), count, 3)), 0.0)

    simulated = _calibrated(scores, bins, sums, seed)
    as_far = (_plain(simulated) >= _plain(sums[None]) - 1e-12).sum()
    p_calibrated = float((as_far + 1) / (_SIMULATIONS + 1))
    error = float(debiased(sums.reshape(1, -1))[0])
    low, high = interval(debiased, flat, seed)
    return {
        "answers": len(scores),
        "ece": error,
        "ece_ci95": [0.0 if p_calibrated > _LEVEL else min(low, error), max(high, error)],
        "p_calibrated": p_calibrated,
        "bins": [
            {
                "score": round(float(row[1] / row[0]), 6),
                "right": round(float(row[2] / row[0]), 6),
                "answers": int(row[0]),
            }
            for row in sums
            if row[0]
        ],
    }


def _calibrated(scores: Floats, bins: NDArray[np.int64], sums: Floats, seed: int) -> Floats:
    """The sums of a thousand sets of perfectly calibrated answers with these scores.

    Args:
        scores: `(answers,)`.
        bins: The bin of each, `(answers,)`.
        sums: Answers, scores and right ones, `(bins, 3)`.
        seed: Seed of what is right.

    Returns:
        `(sets, bins, 3)`.
    """
    generator = np.random.default_rng(seed)
    simulated = np.repeat(sums[None], _SIMULATIONS, axis=0)
    if len(scores) > _MANY_ANSWERS:
        variances = np.bincount(bins, weights=scores * (1 - scores), minlength=len(sums))
        drawn = generator.normal(sums[:, 1], np.sqrt(variances), simulated.shape[:2])
        simulated[:, :, 2] = drawn
        return simulated
    for row in simulated:
        hits = generator.random(len(scores)) < scores
        row[:, 2] = np.bincount(bins, weights=hits, minlength=len(sums))
    return simulated


def _plain(sums: Floats) -> Floats:
    """The error as it is usually computed, of sums `(resamples, bins, 3)`."""
    answers, scores, right = np.moveaxis(sums, -1, 0)
    weights = answers / np.maximum(answers.sum(axis=-1, keepdims=True), 1)
    error: Floats = (weights * np.abs(right - scores) / np.maximum(answers, 1)).sum(axis=-1)
    return error


def _debiased(sums: Floats) -> Floats:
    """The same, less what noise adds to it: twice the error less its mean under noise."""
    from scipy.special import erf

    answers, scores, right = np.moveaxis(sums, -1, 0)
    weights = answers / np.maximum(answers.sum(axis=-1, keepdims=True), 1)
    kept = np.maximum(answers, 1)
    away = np.abs(right - scores) / kept
    # With one right answer and one wrong one added, or a bin without mistakes would have no noise.
    smooth = (right + 1) / (kept + 2)
    noise = np.sqrt(smooth * (1 - smooth) / kept)
    # The mean of |x| for a normal x around `away` with the standard deviation `noise`.
    expected = noise * np.sqrt(2 / np.pi) * np.exp(-(away**2) / (2 * noise**2))
    expected += away * erf(away / (noise * np.sqrt(2)))
    found: Floats = (weights * (2 * away - expected)).sum(axis=-1)
    return found
