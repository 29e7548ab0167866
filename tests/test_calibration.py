"""Scores as probabilities: what is fitted, how errors are measured, what is promised."""

import time

import numpy as np
import pytest
from report_records import record
from sklearn.metrics import roc_auc_score

from lowcost_ft.data.sample import sample_entity_messages, sample_intents
from lowcost_ft.data.sample_text.out_of_scope import OUT_OF_SCOPE
from lowcost_ft.report.collect import Result
from lowcost_ft.report.grouping import compare
from lowcost_ft.report.reliability import calibration_table, reliability_plot
from lowcost_ft.scores.calibration import (
    Graded,
    ScoreMap,
    calibration_error,
    fit_scores,
)
from lowcost_ft.scores.novelty import auroc, auroc_ci95, fit_novelty
from lowcost_ft.scores.promises import promise_of, promises


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def choices(count, *, overconfident=1.0, seed=0):
    """Answers whose true probabilities are a softmax, and scores that are sharper than those."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 2, (count, 5))
    true = softmax(logits)
    labels = np.array([draw.choice(5, p=row) for row in true])
    shares = softmax(logits * overconfident).astype(np.float32)
    return Graded(
        scores=shares.max(1),
        right=shares.argmax(1) == labels,
        owners=np.arange(count),
        given=np.ones(count, bool),
        shares=shares,
        truth=labels,
    )


def error_of(scores, graded):
    return calibration_error(scores, graded.right, graded.owners, examples=len(graded.right))


def test_the_temperature_that_made_scores_too_high_is_found_and_undone():
    found = fit_scores(choices(4000, overconfident=2.5))
    assert found.temperature == pytest.approx(2.5, rel=0.06)
    assert found.offset == 0
    test = choices(3000, overconfident=2.5, seed=1)
    before, after = error_of(test.scores, test), error_of(found.apply(test), test)
    assert before["ece"] > 0.1
    assert after["ece"] < before["ece"] / 5
    assert before["p_calibrated"] < 0.01 < 0.05 < after["p_calibrated"]
    assert 0 < before["ece_ci95"][0] <= before["ece"] <= before["ece_ci95"][1]
    assert after["ece_ci95"][0] == 0


@pytest.mark.parametrize("seed", range(3))
def test_part_of_the_error_of_calibrated_scores_is_noise_and_taken_off(seed):
    graded = choices(600, seed=seed)
    found = error_of(graded.scores, graded)
    plain = sum(one["answers"] / 600 * abs(one["right"] - one["score"]) for one in found["bins"])
    assert len(found["bins"]) == 15
    assert {one["answers"] for one in found["bins"]} == {40}
    assert found["ece"] < 0.8 * plain
    assert found["p_calibrated"] > 0.05
    low, high = found["ece_ci95"]
    assert low == 0 < found["ece"] <= high


def test_many_answers_are_tested_as_few_are(monkeypatch):
    for overconfident in (1.0, 1.1):
        graded = choices(3000, overconfident=overconfident)
        drawn_each = error_of(graded.scores, graded)["p_calibrated"]
        with monkeypatch.context() as patch:
            patch.setattr("lowcost_ft.scores.calibration._MANY_ANSWERS", 100)
            assert error_of(graded.scores, graded)["p_calibrated"] == pytest.approx(
                drawn_each, abs=0.05
            )
    answers = 300_000
    scores = np.random.default_rng(0).random(answers)
    started = time.process_time()
    found = calibration_error(
        scores, scores > 0.5, np.arange(answers) // 300, examples=answers // 300
    )
    assert time.process_time() - started < 5
    assert found["p_calibrated"] < 0.01


def test_a_split_without_mistakes_does_not_make_every_score_one():
    answers = 60
    truth = np.arange(answers) % 3
    shares = np.where(np.eye(3)[truth] > 0, 0.98, 0.01)
    graded = Graded(
        scores=shares.max(1),
        right=np.ones(answers, bool),
        owners=np.arange(answers),
        given=np.ones(answers, bool),
        shares=shares,
        truth=truth,
    )
    told = fit_scores(graded).apply(graded)
    # With one more answer, and that one wrong.
    assert told.mean() == pytest.approx(answers / (answers + 1), abs=2e-3)


def test_entities_get_an_offset_since_a_temperature_cannot_bring_them_below_a_half():
    draw = np.random.default_rng(0)
    scores = draw.uniform(0.7, 1.0, 2000).astype(np.float32)
    right = draw.random(2000) < 0.3
    graded = Graded(scores=scores, right=right, owners=np.arange(2000), given=np.ones(2000, bool))
    found = fit_scores(graded)
    assert found.apply(graded).mean() == pytest.approx(0.3, abs=0.03)
    assert error_of(found.apply(graded), graded)["ece"] < 0.05


@pytest.mark.parametrize("right", [0, 1])
def test_answers_that_are_all_right_or_all_wrong_give_a_finite_map(right):
    graded = Graded(
        scores=np.full(60, 0.9),
        right=np.full(60, right, bool),
        owners=np.arange(60),
        given=np.ones(60, bool),
    )
    told = fit_scores(graded).apply(graded)
    assert np.isfinite(told).all()
    assert abs(told.mean() - right) < 0.1


def test_no_order_and_so_no_decision_changes():
    draw = np.random.default_rng(0)
    shares = softmax(draw.normal(0, 8, (500, 7))).astype(np.float32)
    scores = ScoreMap(temperature=3.0, offset=-1.0)
    assert (scores.of_shares(shares).argmax(1) == shares.argmax(1)).all()
    flat = np.sort(shares.ravel())
    assert (np.diff(scores.of_scores(flat)) >= 0).all()
    np.testing.assert_allclose(ScoreMap().of_shares(shares), shares, atol=1e-6)


def test_a_promise_counts_validation_answers_from_a_score_on():
    scores = np.array([0.95, 0.9, 0.8, 0.55, 0.3])
    counts = promises(scores, np.array([1, 1, 0, 1, 0], bool))
    found = promise_of(counts, 0.8)
    assert (found.answers, found.coverage, found.precision) == (3, 0.6, pytest.approx(2 / 3))
    low, high = found.precision_ci95
    assert low < 2 / 3 < high
    assert promise_of(counts, 0.809).min_score == 0.8
    assert promise_of(counts, 1.0).precision is None
    assert promise_of(counts, 0.0).coverage == 1.0


def test_auroc_is_that_of_scikit_learn_ties_included():
    draw = np.random.default_rng(0)
    inside, outside = draw.integers(0, 9, 80) / 9, draw.integers(3, 12, 50) / 9
    truth = np.repeat([0, 1], [80, 50])
    expected = roc_auc_score(truth, np.concatenate([inside, outside]))
    assert auroc(inside, outside) == pytest.approx(expected)
    low, high = auroc_ci95(inside, outside)
    assert low < expected < high


def test_texts_far_from_the_training_data_lie_beyond_the_threshold():
    draw = np.random.default_rng(0)
    spread = np.concatenate([np.full(4, 3.0), np.full(28, 0.3)])  # Wide in four directions.

    def near(count):
        return (draw.normal(0, 1, (count, 32)) * spread + 5).astype(np.float32)

    found = fit_novelty(near(400), near(200))
    assert (found.distances(near(300)) > found.threshold).mean() < 0.12
    # As long as the others, but in another direction.
    far = (draw.normal(0, 1, (100, 32)) * spread[::-1] + 5).astype(np.float32)
    assert (found.distances(far) > found.threshold).mean() > 0.95
    assert found.distances(np.empty((0, 32), np.float32)).shape == (0,)


def test_the_distance_is_mahalanobis_without_a_covariance_being_written_down():
    draw = np.random.default_rng(0)
    for width in (8, 64):  # Fewer and more directions than texts.
        training = draw.normal(0, 1, (30, width)) * np.linspace(0.5, 2, width)
        found = fit_novelty(training.astype(np.float32), training[:20].astype(np.float32))
        known = found.references.astype(np.float64)
        covariance = known.T @ known / len(known)
        covariance += 0.1 * (known**2).mean() * np.eye(width)
        away = (training[:5] - found.mean) / found.scale
        expected = np.einsum("ij,jk,ik->i", away, np.linalg.inv(covariance), away)
        np.testing.assert_allclose(
            found.distances(training[:5]), np.sqrt(expected / width), rtol=1e-6
        )


def test_out_of_scope_messages_are_many_and_none_is_in_the_sample():
    assert len(set(OUT_OF_SCOPE)) == len(OUT_OF_SCOPE) == 80
    for sample in (sample_intents(), sample_entity_messages()):
        assert not {row["text"] for rows in sample.values() for row in rows} & set(OUT_OF_SCOPE)


def calibrated(**changes):
    error = {"ece": 0.1, "ece_ci95": [0.05, 0.15], "p_calibrated": 0.001, "answers": 90}
    error["bins"] = [{"score": 0.9, "right": 0.7, "answers": 90}]
    after = error | {"ece": 0.01, "p_calibrated": 0.4}
    found = {"temperature": 1.7, "offset": 0.0, "test": {"before": error, "after": after}}
    outside = {"auroc": 0.91, "auroc_ci95": [0.88, 0.94], "texts": 80, "flagged": 0.5}
    return record(calibration=found, novelty={"out_of_scope": outside}, **changes)


def test_the_report_shows_the_error_before_and_after():
    results = [Result(name="a", run=calibrated()), Result(name="b", run=record("full", score=0.7))]
    (comparison,) = compare(results)
    table = calibration_table(comparison)
    (row,) = table.rows
    texts = [cell.text for cell in row]
    assert texts[1:] == [
        "1.70",
        "0.100 (0.050 to 0.150)",
        "0.010 (0.050 to 0.150)",
        "90 test answers",
        "0.910 (0.880 to 0.940)",
    ]
    assert row[3].detail == "not distinguishable from 0"
    assert "<svg" in reliability_plot(comparison).svg
    (comparison,) = compare(results[1:])
    assert calibration_table(comparison) is None
    assert reliability_plot(comparison) is None
