"""Scores: entity-level for NER, per class for classification, error and correlation for regression.

Each score is an `evaluate.Metric` of this package, because `evaluate.load` needs the Hub. These
work offline, keep what they are given in memory and leave nothing in the user's cache.

The `score_*` functions add a bootstrap 95% interval of the task's main metric. It tells how far
the score may move with another test set of the same size, and nothing about another training seed.

Scores that are undefined (a precision without predictions, a correlation of constants, any score
of an empty split) are 0.0: the model has shown nothing. None of them prints a warning.
"""

from collections import Counter
from collections.abc import Callable, Sequence, Sized
from typing import Any

import datasets
import evaluate
import numpy as np

from lowcost_ft.config.arguments import to_list
from lowcost_ft.errors import UserError
from lowcost_ft.scores.bootstrap import interval
from lowcost_ft.scores.confusion import class_confusion, entity_confusion
from lowcost_ft.scores.iob2 import strict_spans
from lowcost_ft.scores.sums import (
    accuracy_of,
    entity_counts,
    f1_of,
    indicators,
    label_counts,
    moments,
    pearson_of,
    spearman_of,
)

__all__ = [
    "ClassificationScores",
    "EntityScores",
    "RegressionScores",
    "majority_baseline",
    "score_classes",
    "score_entities",
    "score_values",
]


class _OfflineMetric(evaluate.Metric):
    """An `evaluate.Metric` that holds its inputs in memory and creates no folder."""

    def __init__(self, config_name: str | None = None, **kwargs: Any) -> None:
        super().__init__(config_name=config_name, keep_in_memory=True, **kwargs)

    def _build_data_dir(self) -> str:
        # The base class creates this folder in the user's cache at once, needed or not.
        return str(self._data_dir_root)


def _info(what: str, inputs: str, feature: Any) -> evaluate.MetricInfo:
    return evaluate.MetricInfo(
        description=what,
        citation="",
        inputs_description=inputs,
        features=datasets.Features({"predictions": feature, "references": feature}),
    )


class EntityScores(_OfflineMetric):
    """Entity-level precision, recall and F1: strict IOB2, micro-averaged.

    `compute(predictions=..., references=...)` takes IOB2 tags, a list of tags a sentence.
    """

    def _info(self) -> evaluate.MetricInfo:
        return _info(
            "Entity-level precision, recall and F1 (strict IOB2).",
            "predictions, references: lists of sentences, each a list of IOB2 tags, one a word.",
            datasets.Sequence(datasets.Value("string")),
        )

    def _compute(self, predictions: list[list[str]], references: list[list[str]]) -> dict[str, Any]:
        found: Counter[str] = Counter()
        true: Counter[str] = Counter()
        right: Counter[str] = Counter()
        for predicted, actual in zip(predictions, references, strict=True):
            here, there = set(strict_spans(predicted)), set(strict_spans(actual))
            for counts, spans in ((found, here), (true, there), (right, here & there)):
                counts.update(label for _, _, label in spans)
        types = sorted({*found, *true})
        # (types, 3): right, predicted, true.
        table = np.array([(right[t], found[t], true[t]) for t in types], float).reshape(-1, 3)
        totals = table.sum(axis=0)
        return {
            "precision": float(totals[0] / max(totals[1], 1)),
            "recall": float(totals[0] / max(totals[2], 1)),
            "f1": float(f1_of(totals)),
            "per_entity": _table(
                types,
                table[:, 0] / np.maximum(table[:, 1], 1),
                table[:, 0] / np.maximum(table[:, 2], 1),
                f1_of(table),
                table[:, 2],
            ),
        }


class ClassificationScores(_OfflineMetric):
    """Accuracy, macro and micro F1 and a table per class.

    `ClassificationScores()` takes one label an example, `ClassificationScores("multi_label")` a
    list of labels. `compute(..., labels=...)` takes all labels of the task, in order.

    Macro F1 averages over the classes that occur in the references or the predictions, as
    scikit-learn does; a class in neither is in the table, with support 0. With several labels an
    example, accuracy counts the examples whose set of labels is right as a whole.
    """

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return _info(
            "Accuracy, macro and micro F1 and a table per class.",
            "predictions, references: label names; labels: all label names of the task.",
            datasets.Sequence(text) if self.config_name == "multi_label" else text,
        )

    def _compute(
        self, predictions: list[Any], references: list[Any], labels: Sequence[str]
    ) -> dict[str, Any]:
        predicted, actual = indicators(predictions, references, labels, self.config_name)
        counts = np.stack(  # (3, labels): right, predicted, true
            [(predicted & actual).sum(axis=0), predicted.sum(axis=0), actual.sum(axis=0)]
        ).astype(float)
        right, found, true = counts
        precision, recall = right / np.maximum(found, 1), right / np.maximum(true, 1)
        f1 = f1_of(counts.T)
        occurs = (found + true) > 0
        return {
            "accuracy": float((predicted == actual).all(axis=1).mean()) if len(actual) else 0.0,
            "macro_f1": float(f1[occurs].mean()) if occurs.any() else 0.0,
            "micro_f1": float(f1_of(counts.sum(axis=1))),
            "per_class": _table(labels, precision, recall, f1, true),
        }


class RegressionScores(_OfflineMetric):
    """Mean squared error, and Pearson's and Spearman's correlation.

    A correlation is 0.0 where it is undefined: fewer than two examples, constant predictions or
    constant references, values that are not finite. Such values make the error NaN, which
    run.json holds as null. The error of an empty split is 0.0.
    """

    def _info(self) -> evaluate.MetricInfo:
        return _info(
            "Mean squared error, Pearson's and Spearman's correlation.",
            "predictions, references: numbers.",
            datasets.Value("float64"),
        )

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        predicted, actual = np.asarray(predictions, float), np.asarray(references, float)
        with np.errstate(invalid="ignore", over="ignore"):
            error = float(np.mean((predicted - actual) ** 2)) if len(actual) else 0.0
        return {
            "mse": error if np.isfinite(error) else float("nan"),
            "pearson": float(pearson_of(moments(predicted, actual).sum(axis=0))),
            "spearman": spearman_of(predicted, actual),
        }


def score_entities(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, seed: int = 0
) -> dict[str, Any]:
    """Entity-level scores over words.

    Args:
        predictions: IOB2 tags, one a word, a sequence a sentence.
        references: The true tags, of the same lengths.
        seed: Of the bootstrap.

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
    scores["f1_ci95"] = interval(f1_of, entity_counts(predicted, actual), seed)
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
        seed: Of the bootstrap.

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
        scores["micro_f1_ci95"] = interval(f1_of, counts, seed)
    else:
        scores["accuracy_ci95"] = interval(accuracy_of, counts, seed)
        scores["confusion"] = class_confusion(predicted, actual)
    return {**scores, "examples": len(actual)}


def score_values(
    predictions: Sequence[float], references: Sequence[float], *, seed: int = 0
) -> dict[str, Any]:
    """Regression scores.

    Args:
        predictions: Predicted values.
        references: The true ones.
        seed: Of the bootstrap.

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


def majority_baseline(train_references: Sequence[Any], test_references: Sequence[Any]) -> float:
    """The main metric of a classifier that always gives training's most frequent answer.

    Args:
        train_references: Training labels: strings, sequences of strings (several labels an
            example) or numbers.
        test_references: Test labels of the same kind.

    Returns:
        Accuracy for strings; micro F1 of the most frequent set of labels for sequences; 0.0 for
        numbers, whose constant prediction has no correlation. (NER is not asked here: always
        predicting `O` finds no entity and has F1 0.0.) 0.0 as well where a split is empty. Of
        equally frequent answers the first in sorted order counts.
    """
    train_references = to_list(train_references, "train_references", of="labels")
    test_references = to_list(test_references, "test_references", of="labels")
    if not train_references or not test_references:
        return 0.0
    if not isinstance(train_references[0], str | Sequence):
        return 0.0
    single = isinstance(train_references[0], str)
    # A set of labels is the same set in any order.
    train = [row if single else tuple(sorted(set(row))) for row in train_references]
    test = [row if single else tuple(sorted(set(row))) for row in test_references]
    frequencies = Counter(train)
    answer = min(frequencies, key=lambda row: (-frequencies[row], row))
    if single:
        return sum(row == answer for row in test) / len(test)
    counts = [[len(set(row) & set(answer)), len(answer), len(row)] for row in test]
    return float(f1_of(np.asarray(counts, float).sum(axis=0)))


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


def _table(
    names: Sequence[str], precision: Any, recall: Any, f1: Any, support: Any
) -> dict[str, dict[str, float | int]]:
    rows = zip(names, precision, recall, f1, support, strict=True)
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for name, p, r, f, s in rows
    }
