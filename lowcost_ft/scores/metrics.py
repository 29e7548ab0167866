"""Scores: entity-level for NER, per class for classification, error and correlation for regression.

The `score_*` functions add a bootstrap 95% interval of the task's main metric. It tells how far
the score may move with another test set of the same size, and nothing about another training seed.

Scores that are undefined (a precision without predictions, a correlation of constants, any score
of an empty split) are 0.0: the model has shown nothing. None of them prints a warning.
"""

from collections.abc import Callable, Sequence, Sized
from typing import Any

import numpy as np

from lowcost_ft.config.arguments import to_list
from lowcost_ft.errors import UserError
from lowcost_ft.scores.bootstrap import interval, share_interval
from lowcost_ft.scores.confusion import class_confusion, entity_confusion
from lowcost_ft.scores.offline_metrics import ClassificationScores, EntityScores, RegressionScores
from lowcost_ft.scores.sums import (
    accuracy_of,
    entity_counts,
    f1_of,
    indicators,
    label_counts,
    moments,
    pearson_of,
)

__all__ = ["score_classes", "score_entities", "score_values"]


def score_entities(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, seed: int = 0
) -> dict[str, Any]:
    """Entity-level scores over words.

    Args:
        predictions: IOB2 tags, one a word, a sequence a sentence.
        references: The true tags, of the same lengths.
        seed: Seed of the bootstrap.

    Returns:
        `precision`, `recall`, `f1` (0 to 1), `f1_ci95` as [low, high], `per_entity`
        ({type: precision, recall, f1, support}), `confusion` ({true type: {predicted type: count}},
        see `confusion.py`) and `examples`, the number of sentences.

    Raises:
        ValueError: The numbers of sentences, or of tags in a sentence, differ.
    """
    predicted, actual = _rows(predictions, "predictions"), _rows(references, "references")
    _check_equal_lengths(predicted, actual)
    for index, (left, right) in enumerate(zip(predicted, actual, strict=True)):
        if len(left) != len(right):
            raise ValueError(f"sentence {index}: {len(left)} predicted, {len(right)} true tags")
    scores = EntityScores().compute(predictions=predicted, references=actual)
    scores["f1_ci95"] = share_interval(f1_of, entity_counts(predicted, actual), seed)
    scores["confusion"] = entity_confusion(predicted, actual)
    return {**scores, "examples": len(actual)}


def score_classes(
    predictions: Sequence[str] | Sequence[Sequence[str]],
    references: Sequence[str] | Sequence[Sequence[str]],
    labels: Sequence[str],
    *,
    multi_label: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Classification scores.

    Args:
        predictions: A label an example, or a sequence of labels with `multi_label`.
        references: The true ones.
        labels: All labels of the task; the order of the table.
        multi_label: Whether an example can have any number of labels.
        seed: Seed of the bootstrap.

    Returns:
        `accuracy`, `macro_f1`, `micro_f1` (0 to 1), `per_class` ({label: precision, recall, f1,
        support}), `examples`, and `accuracy_ci95` and `confusion` ({true: {predicted: count}}), or
        `micro_f1_ci95` with `multi_label`.

    Raises:
        ValueError: The numbers of examples differ, or a label is not one of `labels`.
    """
    labels = to_list(labels, "labels", of="label names")
    read: Callable[[Any, str], list[Any]] = _rows if multi_label else _answers
    predicted, actual = read(predictions, "predictions"), read(references, "references")
    _check_equal_lengths(predicted, actual)
    metric = ClassificationScores("multi_label" if multi_label else None)
    scores = metric.compute(predictions=predicted, references=actual, labels=labels)
    counts = label_counts(*indicators(predicted, actual, labels, metric.config_name))
    if multi_label:
        scores["micro_f1_ci95"] = share_interval(f1_of, counts, seed)
    else:
        scores["accuracy_ci95"] = share_interval(accuracy_of, counts, seed)
        scores["confusion"] = class_confusion(predicted, actual)
    return {**scores, "examples": len(actual)}


def score_values(
    predictions: Sequence[float], references: Sequence[float], *, seed: int = 0
) -> dict[str, Any]:
    """Regression scores.

    Args:
        predictions: Predicted values.
        references: The true ones.
        seed: Seed of the bootstrap.

    Returns:
        `mse` (in squared units of the values), `pearson`, `spearman` (-1 to 1), `pearson_ci95`
        as [low, high], `examples`.

    Raises:
        ValueError: The numbers of examples differ.
    """
    predicted = _numbers(predictions, "predictions")
    actual = _numbers(references, "references")
    _check_equal_lengths(predicted, actual)
    scores = RegressionScores().compute(predictions=predicted, references=actual)
    scores["pearson_ci95"] = interval(pearson_of, moments(predicted, actual), seed)
    return {**scores, "examples": len(actual)}


def _rows(values: Any, name: str) -> list[list[str]]:
    """A list of tags or labels for each sentence or example."""
    rows = to_list(values, name, of="lists")
    return [to_list(row, f"{name}[{index}]", of="tags or labels") for index, row in enumerate(rows)]


def _answers(values: Any, name: str) -> list[str]:
    """One label for each example."""
    answers = to_list(values, name, of="labels")
    for index, answer in enumerate(answers):
        if isinstance(answer, list | tuple | set):
            raise UserError(
                f"{name}[{index}] is a {type(answer).__name__}, not one label: with several labels "
                "an example, give multi_label=True"
            )
    return answers


def _numbers(values: Any, name: str) -> np.ndarray:
    """One number for each example."""
    try:
        numbers = np.asarray(to_list(values, name, of="numbers"), float)
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name} must be numbers: {error}") from None
    if numbers.ndim != 1:
        raise UserError(f"{name} must be one number an example, not lists")
    return numbers


def _check_equal_lengths(predictions: Sized, references: Sized) -> None:
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
