"""Metrics of `evaluate` that need neither the Hub nor a folder.

`evaluate.load` needs the Hub. These work offline, keep what they are given in memory and leave
nothing in the user's cache.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from lowcost_ft.scores.iob2 import strict_spans
from lowcost_ft.scores.sums import f1_of, indicators, moments, pearson_of, spearman_of

__all__ = ["ClassificationScores", "EntityScores", "RegressionScores"]


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
        # (types, 3): right, predicted, true; the last row is that of all types.
        table = np.array([(right[t], found[t], true[t]) for t in types], float).reshape(-1, 3)
        table = np.concatenate([table, table.sum(axis=0, keepdims=True)])
        precision = table[:, 0] / np.maximum(table[:, 1], 1)
        recall = table[:, 0] / np.maximum(table[:, 2], 1)
        either = precision + recall
        # In the order of seqeval's computation, whose last bit this is.
        f1 = 2 * precision * recall / np.where(either == 0, 1, either)
        return {
            "precision": float(precision[-1]),
            "recall": float(recall[-1]),
            "f1": float(f1[-1]),
            "per_entity": _table(types, precision[:-1], recall[:-1], f1[:-1], table[:-1, 2]),
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


def _table(
    names: Sequence[str], precision: Any, recall: Any, f1: Any, support: Any
) -> dict[str, dict[str, float | int]]:
    rows = zip(names, precision, recall, f1, support, strict=True)
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for name, p, r, f, s in rows
    }
