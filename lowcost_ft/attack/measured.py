"""Scores of changed examples, and what is lost beside the same examples as they were."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowcost_ft.pipeline.predicting import predict
from lowcost_ft.record.prediction_tokens import prediction_tokens
from lowcost_ft.scores.bootstrap import resampled_sums, with_width
from lowcost_ft.scores.sums import pearson_of

__all__ = ["Measured", "lost", "measure", "predictions_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The metric of some examples.

    Attributes:
        score: The metric.
        ci95: Its 95% interval.
        sums: What it is computed from, `(groups, numbers)`: examples that belong together, such as
            questions about one text, are one group.
        of_sums: How.
    """

    score: float
    ci95: tuple[float, float]
    sums: Floats
    of_sums: Callable[[Floats], Floats]


def predictions_of(predictor: Any, examples: Sequence[Any]) -> Any:
    """The task's predictions for examples, without notices about each call."""
    task = predictor.task
    return predict(
        predictor.accelerator,
        predictor.model,
        task,
        predictor.features(examples),
        pad_token_id=predictor.tokenizer.pad_token_id,
        micro_batch_tokens=prediction_tokens(predictor.run),
        concurrent=predictor.concurrent,
    )


def measure(
    predictor: Any, examples: Sequence[Any], groups: Sequence[int], *, seed: int
) -> Measured:
    """Scores examples.

    Args:
        predictor: The run.
        examples: Labelled ones.
        groups: The group of each, numbered from 0 without gaps.
        seed: Seed of the bootstrap.
    """
    predictions = predictions_of(predictor, examples)
    of_sums, numbers = predictor.task.score_sums(examples, predictions)
    sums = np.zeros((max(groups) + 1, numbers.shape[1]))
    np.add.at(sums, np.asarray(groups), numbers)
    found = of_sums(resampled_sums(sums, seed))
    low, high = np.percentile(found, [2.5, 97.5]).tolist()
    if of_sums is not pearson_of:  # A correlation is no share.
        low, high = with_width((low, high), int(sums.any(axis=1).sum()))
    return Measured(
        score=float(of_sums(sums.sum(0))),
        ci95=(low, high),
        sums=sums,
        of_sums=of_sums,
    )


def lost(before: Measured, after: Measured, *, seed: int) -> tuple[float, tuple[float, float]]:
    """What a change costs, and its 95% interval; both are drawn with the same groups.

    Args:
        before: Predictions for the examples as they were.
        after: Predictions for the changed ones, in the same groups.
        seed: Seed of the bootstrap.
    """
    drawn = before.of_sums(resampled_sums(before.sums, seed)) - after.of_sums(
        resampled_sums(after.sums, seed)
    )
    low, high = np.percentile(drawn, [2.5, 97.5])
    return before.score - after.score, (float(low), float(high))
