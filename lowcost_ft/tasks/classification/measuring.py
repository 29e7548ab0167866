"""What is compared of a text classifier's answers: between texts, changes of texts, and groups."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.scores.sums import accuracy_of, f1_of, indicators, label_counts, moments, pearson_of
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.classification.featurizing import label_tuple
from lowcost_ft.tasks.classification.flags import DecisionFlags
from lowcost_ft.tasks.measuring import Harm, Measuring, mistakes_first

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["ClassificationMeasuring"]


class ClassificationMeasuring(Measuring):
    """The part of the task that compares."""

    can_measure: ClassVar[bool] = True
    attack_flags: ClassVar[type | None] = DecisionFlags
    can_audit: ClassVar[bool] = True
    audit_sentences: ClassVar[bool] = True
    audit_flags: ClassVar[type | None] = DecisionFlags
    labels: list[str]
    problem_type: str | None

    def score_sums(
        self, examples: Sequence[TextExample], predictions: Any
    ) -> tuple[Callable[[Floats], Floats], Floats]:
        """Accuracy, micro F1 or Pearson's correlation; see `Measuring.score_sums`."""
        if self.problem_type == "regression":
            return pearson_of, moments(*_numbers(examples, predictions))
        several = self.problem_type == "multi_label_classification"
        answers = self._labels(examples, predictions)
        truths = [label_tuple(e) if several else str(e.label) for e in examples]
        every = sorted({label for e in examples for label in label_tuple(e)} | set(self.labels))
        kind = "multi_label" if several else "single_label"
        counts = label_counts(*indicators(answers, truths, every, kind))
        return (f1_of if several else accuracy_of), counts

    def harm_values(self, examples: Sequence[TextExample], predictions: Any) -> Floats:
        """The loss, with several labels after the mistakes; or the predicted number."""
        if self.problem_type == "regression":
            return _numbers(examples, predictions)[0]
        losses = super().harm_values(examples, predictions)
        if self.problem_type != "multi_label_classification":
            return losses
        return mistakes_first(self.score_sums(examples, predictions)[1], losses)

    def harm(self, examples: Sequence[TextExample], predictions: Any) -> Harm:
        """Of numbers, what the correlation loses; see `Measuring.harm`."""
        if self.problem_type != "regression":
            return super().harm(examples, predictions)
        return _LostCorrelation(*_numbers(examples, predictions))

    def verdicts(self, examples: Sequence[TextExample], predictions: Any) -> list[Hashable]:
        """The label or labels; nothing for numbers, which always differ a little."""
        if self.problem_type == "regression":
            return []
        found = self._labels(examples, predictions)
        return [tuple(label) if isinstance(label, list) else label for label in found]

    def audited_values(
        self, examples: Sequence[TextExample], predictions: Any
    ) -> tuple[str, list[str], Floats]:
        """The probability of each label, or the number; see `Measuring.audited_values`."""
        scores = predictions["scores"].astype(np.float64)
        if self.problem_type == "regression":
            spread = float(scores.std()) or 1.0
            return "standard deviations of the predicted numbers", ["number"], scores / spread
        return "probability", list(self.labels), scores

    def _labels(self, examples: Sequence[TextExample], predictions: Any) -> list[Any]:
        task: Any = self
        return [answer["label"] for answer in task.present(examples, predictions)]


def _numbers(examples: Sequence[TextExample], predictions: Any) -> tuple[Floats, Floats]:
    """The predicted numbers and the true ones, `(examples,)` each."""
    true = np.array([float(str(example.label)) for example in examples])
    return predictions["scores"][:, 0].astype(np.float64), true


class _LostCorrelation(Harm):
    """1 less the correlation of all numbers, times their count.

    The squared error would not do: a shift of all numbers makes it large, and harms no correlation.

    Args:
        predicted: `(examples,)`.
        true: `(examples,)`.
    """

    def __init__(self, predicted: Floats, true: Floats) -> None:
        self._middle = predicted.mean()
        self._scale = float(np.abs(predicted - self._middle).max()) or 1.0
        centred = true - true.mean()
        self._true = centred / (float(np.abs(centred).max()) or 1.0)
        self._own = self._moments(predicted, self._true)
        self._sums = self._own.sum(axis=0)

    def _moments(self, predicted: Floats, y: Floats) -> Floats:
        x = (predicted - self._middle) / self._scale
        return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)

    def of(self, number: int, values: Floats) -> Floats:
        new = self._moments(values, np.full(len(values), self._true[number]))
        harm: Floats = len(self._own) * (1 - pearson_of(self._sums - self._own[number] + new))
        return harm

    def keep(self, number: int, value: float) -> None:
        (new,) = self._moments(np.array([value]), self._true[[number]])
        self._sums = self._sums - self._own[number] + new
        self._own[number] = new
