"""Text classification: one label, several, or a number, for a text or a pair of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.config.arguments import to_list
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import IGNORED_LABEL, Array, Features, flatten
from lowcost_ft.data.rows import text_fault
from lowcost_ft.errors import UserError
from lowcost_ft.scores.thresholds import DEFAULT_THRESHOLD, choose_thresholds
from lowcost_ft.tasks.base import ENCODED_AT_ONCE, Predictions
from lowcost_ft.tasks.choices import Choices
from lowcost_ft.tasks.classification.checks import ClassificationChecking
from lowcost_ft.tasks.classification.editing import ClassificationEditing
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.classification.flags import ClassificationFlags, DecisionFlags
from lowcost_ft.tasks.classification.reading import ClassificationReading
from lowcost_ft.tasks.classification.telling import ClassificationTelling

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["ClassificationTask", "TextExample", "balanced_class_weights"]

MAIN_METRICS = {
    "single_label_classification": "accuracy",
    "multi_label_classification": "micro_f1",
    "regression": "pearson",
}
"""The metric that early stopping watches and that has an interval. Higher is better in all."""


class ClassificationTask(
    ClassificationReading, ClassificationChecking, ClassificationEditing, ClassificationTelling
):
    """Predicts a class, several classes, or a number, for a text or a pair of texts.

    Args:
        labels: Class names in the order of the logits; one name for a regression.
        problem_type: `single_label_classification`, `multi_label_classification` or `regression`.
        class_weights: Weight of each class in the loss, `(labels,)`; all one by default. For
            multi-label it is the weight of a positive label.
        thresholds: For multi-label, the score of each label from which on it applies; 0.5 by
            default.

    Attributes:
        metric: Key in `score` that early stopping follows. A subclass may name another one.
    """

    name: ClassVar[str] = "classification"
    head: ClassVar[str] = "sequence"
    # int64 `(rows,)`, or float32 `(rows,)` or `(rows, labels)`.
    schema: ClassVar[dict[str, Array]] = {"labels": Array("row")}
    predict_flags: ClassVar[type | None] = ClassificationFlags
    evaluate_flags: ClassVar[type | None] = DecisionFlags
    metric: str = ""

    def __init__(
        self,
        labels: list[str],
        *,
        problem_type: str | None = "single_label_classification",
        class_weights: list[float] | None = None,
        thresholds: list[float] | None = None,
    ) -> None:
        import torch

        problem_type = problem_type or "single_label_classification"
        labels = to_list(labels, "labels", of="label names")
        self.labels = labels
        self.problem_type: str | None = problem_type
        if class_weights is not None:
            class_weights = to_list(class_weights, "class_weights", of="numbers, one a label")
        self.class_weights = None if class_weights is None else torch.tensor(class_weights)
        self._copies: dict[torch.device, torch.Tensor] = {}
        if not self.metric:
            self.metric = MAIN_METRICS[problem_type]
        self._label_ids = {label: i for i, label in enumerate(labels)}
        self._thresholds = thresholds
        self._top_k: int | None = None

    @property
    def thresholds(self) -> list[float] | None:
        """The score of each label from which on it applies; None unless multi-label."""
        if self.problem_type != "multi_label_classification":
            return None
        return self._thresholds or [DEFAULT_THRESHOLD] * len(self.labels)

    @classmethod
    def from_splits(cls, config: RunConfig, splits: Any, *, causal: bool) -> ClassificationTask:
        """The task of a run that begins."""
        weights = None
        if config.class_weights == "balanced":
            weights = balanced_class_weights(
                splits.train, splits.labels, problem_type=splits.problem_type
            )
        return cls(splits.labels, problem_type=splits.problem_type, class_weights=weights)

    @classmethod
    def from_record(cls, run: Mapping[str, Any]) -> ClassificationTask:
        """The task of a run that is over."""
        # Runs without thresholds decided at 0.5.
        return cls(
            run["labels"], problem_type=run.get("problem_type"), thresholds=run.get("thresholds")
        )

    @classmethod
    def for_planning(cls, labels: list[str]) -> ClassificationTask:
        """The task of a run whose data are not known."""
        return cls(labels)

    @staticmethod
    def blank_arrays(rows: int, tokens: int) -> dict[str, np.ndarray]:
        """Arrays for rows whose content does not matter."""
        return {"labels": np.zeros(rows, np.int64)}

    @staticmethod
    def reading_record(reading: ReadingOptions, examples: Sequence[TextExample]) -> dict[str, Any]:
        """What `run.json` says of how examples are read: nothing."""
        return {"word_splitting": None}

    def featurize(
        self,
        examples: Sequence[TextExample],
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
    ) -> Features:
        """Tokenizes texts; what is longer than `max_length` loses its end, and is counted."""
        rows: list[list[int]] = []
        types: list[list[int]] = []
        truncated = 0
        with_types = "token_type_ids" in tokenizer.model_input_names
        for start in range(0, len(examples), ENCODED_AT_ONCE):
            chunk = examples[start : start + ENCODED_AT_ONCE]
            pairs = [example.text_pair for example in chunk]
            encoded = tokenizer(
                [example.text for example in chunk],
                pairs if pairs[0] is not None else None,
                truncation=True,
                max_length=max_length,
                return_attention_mask=False,
                return_token_type_ids=with_types,
            )
            # A text of characters that are nothing to the tokenizer still needs a token.
            rows += [ids or [tokenizer.pad_token_id] for ids in encoded["input_ids"]]
            types += [ids or [0] for ids in encoded["token_type_ids"]] if with_types else []
            truncated += sum(bool(encoding.overflowing) for encoding in encoded.encodings)
        input_ids, starts = flatten(rows)
        labels = self._label_array(examples)
        weights = np.ones(len(rows))
        if labels is not None and labels.dtype == np.int64:
            known = labels != IGNORED_LABEL
            if self.class_weights is not None:
                weights = self.class_weights.numpy().astype(np.float64)[np.where(known, labels, 0)]
            weights = np.where(known, weights, 0.0)
        return Features(
            input_ids=input_ids,
            starts=starts,
            examples=np.arange(len(rows), dtype=np.int64),
            num_examples=len(rows),
            weights=weights,
            token_type_ids=flatten(types)[0] if with_types else None,
            arrays={} if labels is None else {"labels": labels},
            schema=self.schema,
            truncated=truncated,
        )

    def _label_array(self, examples: Sequence[TextExample]) -> np.ndarray | None:
        """What the loss compares with; labels that the model does not know are left out of it."""
        if examples[0].label is None:
            return None
        if self.problem_type == "regression":
            return np.array([example.label for example in examples], np.float32)
        if self.problem_type == "single_label_classification":
            ids = [self._label_ids.get(str(e.label), IGNORED_LABEL) for e in examples]
            return np.array(ids, np.int64)
        labels = np.zeros((len(examples), len(self.labels)), np.float32)
        for row, example in enumerate(examples):
            for label in _label_tuple(example):
                if label in self._label_ids:
                    labels[row, self._label_ids[label]] = 1.0
        return labels

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Sum over the micro-batch of cross-entropy, squared error, or mean binary cross-entropy.

        Args:
            logits: `(batch, labels)`.
            batch: With `labels`, `(batch,)` or `(batch, labels)`.
        """
        from torch.nn import functional as F  # noqa: N812

        choices = self.choices(logits, batch)
        if choices is None:
            return F.mse_loss(logits.squeeze(-1), batch["labels"], reduction="sum")
        return choices.cross_entropy()

    def choices(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> Choices | None:
        """The label of each text, or a yes or no for each label; None for regression."""
        if not self.has_choices:
            return None
        return Choices(
            logits=logits, labels=batch["labels"], weights=self._weights_on(logits.device)
        )

    @property
    def has_choices(self) -> bool:
        """Whether there are classes."""
        return self.problem_type != "regression"

    def _weights_on(self, device: torch.device) -> torch.Tensor | None:
        """The class weights; copied once, since a GPU would have to stop for each copy."""
        if self.class_weights is None:
            return None
        if device not in self._copies:
            self._copies[device] = self.class_weights.to(device)
        return self._copies[device]

    def decode(self, logits: torch.Tensor) -> dict[str, torch.Tensor]:
        """Probabilities `(batch, labels)`, or the predicted numbers `(batch, 1)`."""
        if self.problem_type == "single_label_classification":
            logits = logits.softmax(-1)
        elif self.problem_type == "multi_label_classification":
            logits = logits.sigmoid()
        return {"scores": logits}

    def new_predictions(self, features: Features) -> Predictions:
        """One row of scores an example."""
        return {"scores": np.zeros((features.num_examples, len(self.labels)), np.float32)}

    def store(
        self,
        predictions: Predictions,
        decoded: dict[str, np.ndarray],
        batch: dict[str, torch.Tensor],
        examples: np.ndarray,
    ) -> None:
        """Writes the scores of a micro-batch's examples."""
        predictions["scores"][examples] = decoded["scores"]

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
        for example, scores in zip(examples, predictions["scores"], strict=True):
            answer: dict[str, Any] = {"text": example.text}
            if example.text_pair is not None:
                answer["text_pair"] = example.text_pair
            if self.problem_type == "regression":
                answer["score"] = float(scores[0])
            elif self.problem_type == "single_label_classification":
                best = int(scores.argmax())
                answer |= {"label": self.labels[best], "score": float(scores[best])}
            else:
                chosen = np.flatnonzero(scores >= thresholds)
                answer["label"] = [self.labels[i] for i in chosen]
                answer["score"] = [float(scores[i]) for i in chosen]
                answer["scores"] = self._ranked(scores)
            answers.append(answer)
        return answers

    def blank_answer(self, example: TextExample) -> dict[str, Any]:
        """No label; None where there would be one."""
        if self.problem_type == "regression":
            return {"text": example.text, "score": None}
        if self.problem_type == "multi_label_classification":
            return {"text": example.text, "label": [], "score": []}
        return {"text": example.text, "label": None, "score": None}

    @classmethod
    def flag_examples(
        cls, flags: ClassificationFlags, *, text: str | None, json: bool
    ) -> list[TextExample] | None:
        """The pair of `--text` and `--text-pair`; see `Task.flag_examples`."""
        if flags.top_k is not None and not json:
            raise UserError("--top-k needs --json")
        if flags.text_pair is None:
            return None
        if text is None:
            raise UserError("--text-pair needs --text")
        faults = [
            f"--{name} {fault}"
            for name, value in (("text", text), ("text-pair", flags.text_pair))
            if (fault := text_fault(value))
        ]
        if faults:
            raise UserError(faults)
        return cls.read_texts([text], [flags.text_pair])

    def use(self, flags: DecisionFlags) -> list[str]:
        """Sets the threshold of all labels, and how many scores are told; see `Task.use`."""
        problems = []
        kind, threshold = self.problem_type, flags.threshold
        if threshold is not None and kind != "multi_label_classification":
            problems.append(
                f"--threshold is for multi-label classification; this run is {kind}: leave it out"
            )
        elif threshold is not None and not 0 <= threshold <= 1:
            problems.append(f"--threshold {threshold:g} is not a score: give a number from 0 to 1")
        elif threshold is not None:
            self._thresholds = [threshold] * len(self.labels)
        self._top_k = flags.top_k if isinstance(flags, ClassificationFlags) else None
        if self._top_k is not None and kind == "regression":
            problems.append(f"--top-k is for labels with scores; this run is {kind}: leave it out")
        return problems

    @staticmethod
    def truth_row(example: TextExample) -> dict[str, Any]:
        """`{"true_label": ...}` of a labelled example."""
        return {} if example.label is None else {"true_label": example.label}

    def answer(
        self, examples: Sequence[TextExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """What `present` says of each example; with `top_k`, the best labels under `scores`."""
        answers = self.present(examples, predictions)
        if self._top_k is None:
            return answers
        ranked = (self._ranked(scores, self._top_k) for scores in predictions["scores"])
        return [answer | {"scores": best} for answer, best in zip(answers, ranked, strict=True)]

    def _ranked(self, scores: np.ndarray, top_k: int | None = None) -> dict[str, float]:
        order = np.argsort(-scores, kind="stable")[:top_k]
        return {self.labels[i]: round(float(scores[i]), 6) for i in order}

    def choose_decisions(self, examples: Sequence[TextExample], predictions: Predictions) -> None:
        """Chooses the thresholds of a multi-label problem by validation data.

        It is done at each evaluation, so that the score that chooses the epoch is one that its
        weights can reach; on the data that chose them, scores are a little too high.
        """
        if self.problem_type == "multi_label_classification":
            truth = self._label_array(examples)
            assert truth is not None
            self._thresholds = choose_thresholds(predictions["scores"], truth > 0)

    def losses(self, examples: Sequence[TextExample], predictions: Predictions) -> np.ndarray:
        """Unweighted loss of each example: cross-entropy, mean binary one, or squared error.

        NaN for an example whose one label the model does not know.
        """
        scores = predictions["scores"].astype(np.float64)
        labels = self._label_array(examples)
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
        if self.problem_type == "regression":
            return ~np.isclose(before["scores"], after["scores"], rtol=0.01, atol=0.01)
        answers = [[row["label"] for row in self.present(examples, p)] for p in (before, after)]
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
            list(_label_tuple(example)) if multi_label else str(example.label)
            for example in examples
        ]
        true = {label for example in examples for label in _label_tuple(example)}
        return score_classes(
            [answer["label"] for answer in answers],
            references,
            [*self.labels, *sorted(true - set(self.labels))],
            multi_label=multi_label,
            seed=seed,
        )


def balanced_class_weights(
    examples: Sequence[TextExample], labels: list[str], *, problem_type: str | None
) -> list[float]:
    """Weights that give each class the same say in the loss.

    Single-label: `n / (classes * n_class)` (scikit-learn's `balanced`). Multi-label: negatives
    over positives, for PyTorch's `pos_weight`.
    """
    examples = to_list(examples, "examples", of="examples")
    labels = to_list(labels, "labels", of="label names")
    counts = Counter(label for example in examples for label in _label_tuple(example))
    if problem_type == "multi_label_classification":
        # A label that every row has needs no weighing up; a weight of 0 would unlearn it.
        return [max(len(examples) - counts[label], 1) / counts[label] for label in labels]
    return [len(examples) / (len(labels) * counts[label]) for label in labels]


def _label_tuple(example: TextExample) -> tuple[str, ...]:
    label = example.label
    return tuple(map(str, label)) if isinstance(label, tuple) else (str(label),)
