"""Answers above a score, and what a user is told of the scores that answers have.

Nothing here needs PyTorch: a command that refuses its flags does not wait for it.
"""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.data.rows import counted
from lowcost_ft.scores.promises import promise_of

__all__ = ["score_notices", "withheld"]

_OTHERWISE = "the run was scored with another threshold than the one that was set"


def withheld(
    predictor: Any, answers: Sequence[dict[str, Any]], min_score: float
) -> tuple[list[dict[str, Any]], str]:
    """Takes out what has a lower score.

    Args:
        predictor: The run (`pipeline.predictor.Predictor`).
        answers: What it answered.
        min_score: The lowest score that is told, from 0 to 1.

    Returns:
        The answers, what was taken out of each under `withheld`; and what the user is told: how
        much is left, and what validation data promises of it.
    """
    parts = [predictor.task.withhold(answer, min_score) for answer in answers]
    before, after = sum(part[1] for part in parts), sum(part[2] for part in parts)
    share = f" ({after / before:.0%})" if before else ""
    told = f"--min-score {min_score:g}: {after:,} of {counted(before, 'answer')} given{share}; "
    calibration = predictor.run.get("calibration") or {}
    if predictor.task.decides_otherwise(predictor.run):
        return [part[0] for part in parts], f"{told}validation data promises nothing: {_OTHERWISE}"
    if (counts := calibration.get("promises")) is None:
        why = calibration.get("reason") or "the run is of an older version"
        return [part[0] for part in parts], f"{told}validation data promises nothing: {why}"
    promise = promise_of(counts, min_score)
    if promise.precision is None or promise.precision_ci95 is None:
        told += f"on validation data no answer had a score of {promise.min_score:.2f}"
    else:
        low, high = promise.precision_ci95
        told += (
            f"on validation data {promise.coverage:.0%} of the answers had a score of "
            f"{promise.min_score:.2f} or more, and {promise.precision:.1%} of these "
            f"{promise.answers:,} were right (95% interval {low:.1%} to {high:.1%})"
        )
    return [part[0] for part in parts], told


def score_notices(
    predictor: Any, answers: Sequence[dict[str, Any]], *, each_says: bool = False
) -> list[str]:
    """Whether scores are probabilities, and how many texts are unlike the training data.

    Args:
        predictor: The run (`pipeline.predictor.Predictor`).
        answers: What it answered.
        each_says: Whether each answer says by itself that its scores are probabilities.
    """
    notices = []
    calibration = predictor.run.get("calibration") or {}
    if predictor.task.why_no_confidence is None and not each_says:
        if predictor.task.score_map is not None:
            rows = (calibration.get("validation") or {}).get("after") or {}
            notices.append(
                "scores are calibrated: probabilities of being right, fitted on "
                f"{counted(rows.get('answers', 0), 'answer')} to validation data"
            )
        else:
            why = calibration.get("reason") or "the run is of an older version"
            if calibration.get("temperature") is not None:
                why = _OTHERWISE
            notices.append(f"scores are not calibrated, and usually too high: {why}")
    if far := sum("unlike_training" in answer for answer in answers):
        alarms = (predictor.run.get("novelty") or {}).get("flagged_of_validation")
        usual = "" if alarms is None else f" ({alarms:.0%} of the validation texts are)"
        notices.append(
            f"{counted(far, 'text')} of {len(answers):,} {'is' if far == 1 else 'are'} unlike the "
            f"training data{usual}: do not rely on {'its answer' if far == 1 else 'their answers'}"
        )
    return notices
