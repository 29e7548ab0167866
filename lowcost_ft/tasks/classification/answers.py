"""What a text classifier answers, how wrong that is, and what it scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lowcost_ft.data.features import IGNORED_LABEL
from lowcost_ft.scores.thresholds import DEFAULT_THRESHOLD, choose_thresholds
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.classification.confidence import ClassificationConfidence
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.classification.featurizing import label_array, label_tuple
from lowcost_ft.tasks.classification.uncertainty import unsure_of_classes, unsure_of_labels

__all__ = ["ClassificationAnswering"]


class ClassificationAnswering(ClassificationConfidence):
    """The part of the task that turns scores into answers, and judges them."""

    _thresholds: list[float] | None
    _top_k: int | None

    @property
    def thresholds(self) -> list[float] | None:
        """The score of each label from which on it applies; None unless multi-label."""
        if self.problem_type != "multi_label_classification":
            return None
        return self._thresholds or [DEFAULT_THRESHOLD] * len(self.labels)

    def present(
        self, examples: Sequence[TextExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """`{"text": ..., "label": ..., "score": ...}` of each example.

        Multi-label: lists of the labels at their threshold or above and of their scores, and
        `scores` of all labels, the highest first. Regression: the number is the `score`, and there
        is no label.
        """
        answers = []
        thresholds = np.array(self.thresholds or [], np.float64)
        told = predictions.get("told", predictions["scores"])
        for example, scores, shown in zip(examples, predictions["scores"], told, strict=True):
            answer: dict[str, Any] = {"text": example.text}
            if example.text_pair is not None:
                answer["text_pair"] = example.text_pair
            if self.problem_type == "regression":
                answer["score"] = float(scores[0])
            elif self.problem_type == "single_label_classification":
                best = int(scores.argmax())
                answer |= {"label": self.labels[best], "score": float(shown[best])}
            else:
                chosen = np.flatnonzero(scores >= thresholds)
                answer["label"] = [self.labels[i] for i in chosen]
                answer["score"] = [float(shown[i]) for i in chosen]
                answer["scores"] = self._ranked(shown)
            answers.append(answer)
        return answers

    @property
    def can_label(self) -> bool:
        """Whether there are classes: numbers come without a probability."""
        return self.problem_type != "regression"

    def with_answers(
        self, examples: Sequence[TextExample], predictions: Predictions
    ) -> list[TextExample]:
        """The texts with the predicted label, or labels."""
        answers = (answer["label"] for answer in self.present(examples, predictions))
        return [
            replace(example, label=tuple(sorted(label)) if isinstance(label, list) else label)
            for example, label in zip(examples, answers, strict=True)
        ]

    def blank_answer(self, example: TextExample) -> dict[str, Any]:
        """No label; None where there would be one."""
        if self.problem_type == "regression":
            return {"text": example.text, "score": None}
        if self.problem_type == "multi_label_classification":
            return {"text": example.text, "label": [], "score": []}
        return {"text": example.text, "label": None, "score": None}

    @staticmethod
    def truth_row(example: TextExample) -> dict[str, Any]:
        """`{"true_label": ...}` of a labelled example."""
        return {} if example.label is None else {"true_label": example.label}

    def answer(
        self, examples: Sequence[TextExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """What `present` says of each example; with `top_k`, the best labels under `scores`.

        The scores are probabilities of being right, where the run was calibrated.
        """
        told = self.told_scores(predictions["scores"])
        answers = self.present(examples, predictions | {"told": told})
        if self._top_k is None:
            return answers
        ranked = (self._ranked(scores, self._top_k) for scores in told)
        return [answer | {"scores": best} for answer, best in zip(answers, ranked, strict=True)]

    def _ranked(self, scores: np.ndarray, top_k: int | None = None) -> dict[str, float]:
        order = np.argsort(-scores, kind="stable")[:top_k]
        return {self.labels[i]: round(float(scores[i]), 6) for i in order}

    def uncertainty(
        self, examples: Sequence[TextExample], predictions: Predictions
    ) -> np.ndarray | None:
        """See `unsure_of_classes` and `unsure_of_labels`; None for a number."""
        if self.problem_type == "regression":
            return None
        if self.problem_type == "multi_label_classification":
            assert self.thresholds is not None
            return unsure_of_labels(predictions["scores"], np.array(self.thresholds))
        return unsure_of_classes(predictions["scores"])

    def choose_decisions(self, examples: Sequence[TextExample], predictions: Predictions) -> None:
        """Chooses the thresholds of a multi-label problem by validation data.

        It is done at each evaluation, so that the score that chooses the epoch is one that its
        weights can reach; on the data that chose them, scores are a little too high.
        """
        if self.problem_type == "multi_label_classification":
            truth = label_array(examples, self._label_ids, self.problem_type)
            assert truth is not None
            self._thresholds = choose_thresholds(predictions["scores"], truth > 0)

    def losses(self, examples: Sequence[TextExample], predictions: Predictions) -> np.ndarray:
        """Unweighted loss of each example: cross-entropy, mean binary one, or squared error.

        NaN for an example whose one label the model does not know.
        """
        scores = predictions["scores"].astype(np.float64)
        labels = label_array(examples, self._label_ids, self.problem_type)
        assert labels is not None
        if self.problem_type == "regression":
            return (scores[:, 0] - labels) ** 2
        smallest = np.finfo(np.float32).eps
        if self.problem_type == "single_label_classification":
            known = labels != IGNORED_LABEL
            own = scores[np.arange(len(labels)), np.where(known, labels, 0)]
            return np.where(known, -np.log(np.maximum(own, smallest)), np.nan)
        right = np.where(labels > 0, scores, 1 - scores)  # (examples, labels)
        return -np.log(np.maximum(right, smallest)).mean(axis=1)

    def changed(
        self, examples: Sequence[TextExample], before: Predictions, after: Predictions
    ) -> np.ndarray:
        """Whether the labels of each text differ, or its number by more than 1%."""
        return self.changed_since(self, examples, before, after)

    def changed_since(
        self,
        earlier: Task,
        examples: Sequence[TextExample],
        before: Predictions,
        after: Predictions,
    ) -> np.ndarray:
        """See `Task.changed_since`; each model has thresholds of its own for several labels."""
        if self.problem_type == "regression":
            return ~np.isclose(before["scores"], after["scores"], rtol=0.01, atol=0.01)
        answers = [
            [row["label"] for row in task.present(examples, predictions)]
            for task, predictions in ((earlier, before), (self, after))
        ]
        return np.array([a != b for a, b in zip(*answers, strict=True)])

    def score(
        self, examples: Sequence[TextExample], predictions: Predictions, *, seed: int = 0
    ) -> dict[str, Any]:
        """Accuracy and F1, or errors and correlations.

        Labels that the model does not know are in the table, after those that it knows, and each
        is a mistake.
        """
        from lowcost_ft.scores.metrics import score_classes, score_values  # Not needed to predict.

        answers = self.present(examples, predictions)
        if self.problem_type == "regression":
            values = [answer["score"] for answer in answers]
            numbers = [example.label for example in examples if isinstance(example.label, float)]
            return score_values(values, numbers, seed=seed)
        multi_label = self.problem_type == "multi_label_classification"
        references = [
            list(label_tuple(example)) if multi_label else str(example.label)
            for example in examples
        ]
        true = {label for example in examples for label in label_tuple(example)}
        return score_classes(
            [answer["label"] for answer in answers],
            references,
            [*self.labels, *sorted(true - set(self.labels))],
            multi_label=multi_label,
            seed=seed,
        )
