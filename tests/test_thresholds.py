"""Thresholds of multi-label scores: the best there are, found on validation data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowcost_ft.scores.thresholds import (
    POSITIVES_FOR_ITS_OWN,
    best_micro_f1,
    choose_thresholds,
    constant_micro_f1,
)


def micro_f1(scores: np.ndarray, truth: np.ndarray, thresholds: list[float]) -> float:
    predicted = scores >= np.array(thresholds)
    return 2 * (predicted & truth).sum() / max(predicted.sum() + truth.sum(), 1)


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 4), st.booleans())
def test_no_common_threshold_is_better(seed: int, rows: int, labels: int, ties: bool) -> None:
    random = np.random.default_rng(seed)
    scores = random.random((rows, labels)).astype(np.float32)
    scores = np.round(scores, 1) if ties else scores
    truth = random.random((rows, labels)) < 0.4
    thresholds = choose_thresholds(scores, truth)
    assert len(set(thresholds)) == 1
    if not truth.any():
        assert thresholds[0] == 0.5
        return
    tried = [micro_f1(scores, truth, [cut] * labels) for cut in [0.0, *np.unique(scores), 2.0]]
    assert micro_f1(scores, truth, thresholds) == pytest.approx(max(tried))
    assert best_micro_f1(scores, truth) == pytest.approx(max(tried))


@pytest.mark.parametrize("positives", [POSITIVES_FOR_ITS_OWN, POSITIVES_FOR_ITS_OWN - 1])
def test_a_label_with_enough_rows_gets_a_threshold_of_its_own(positives: int) -> None:
    random = np.random.default_rng(0)
    truth = np.zeros((600, 2), bool)
    truth[:300, 0] = True
    truth[-positives:, 1] = True
    scores = random.random((600, 2)) * 0.2
    scores[:, 0] *= 2
    scores[truth[:, 0], 0] += 0.5
    scores[truth[:, 1], 1] += 0.05  # A label whose scores are all low, and overlap.
    scores[truth[:, 1], 1] *= 1.2
    thresholds = choose_thresholds(scores, truth)
    own = thresholds[0] != thresholds[1]
    assert own == (positives >= POSITIVES_FOR_ITS_OWN)
    common = micro_f1(scores, truth, [thresholds[0]] * 2)
    assert (micro_f1(scores, truth, thresholds) > common) == own


def test_scores_at_the_ends() -> None:
    sure = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert choose_thresholds(sure, sure > 0) == [0.5, 0.5]
    # Nothing is better than everything or nothing, and a threshold says which.
    assert choose_thresholds(np.zeros((2, 1)), np.array([[True], [True]])) == [0.0]
    assert constant_micro_f1(np.array([[True, False], [True, True]])) == pytest.approx(6 / 7)
    assert constant_micro_f1(np.zeros((3, 2), bool)) == 0.0
