"""Text classification: one label, several, or a number, for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.config.arguments import to_list
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import Array, Features
from lowcost_ft.data.rows import text_fault
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.choices import Choices
from lowcost_ft.tasks.classification.answers import ClassificationAnswering
from lowcost_ft.tasks.classification.checks import ClassificationChecking
from lowcost_ft.tasks.classification.editing import ClassificationEditing
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.classification.explaining import ClassificationExplaining
from lowcost_ft.tasks.classification.featurizing import (
    balanced_class_weights,
    label_array,
    text_features,
)
from lowcost_ft.tasks.classification.flags import (
    ClassificationFlags,
    DecisionFlags,
    PairFlags,
)
from lowcost_ft.tasks.classification.measuring import ClassificationMeasuring
from lowcost_ft.tasks.classification.prompting import ClassificationPrompting
from lowcost_ft.tasks.classification.prompts import Prompt
from lowcost_ft.tasks.classification.reading import ClassificationReading
from lowcost_ft.tasks.classification.serving import ClassificationServing
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
    ClassificationReading,
    ClassificationPrompting,
    ClassificationChecking,
    ClassificationEditing,
    ClassificationExplaining,
    ClassificationMeasuring,
    ClassificationTelling,
    ClassificationAnswering,
    ClassificationServing,
):
    """Predicts a class, several classes, or a number, for a text or a pair of texts.

    Args:
        labels: Class names in the order of the logits; one name for a regression.
        problem_type: `single_label_classification`, `multi_label_classification` or `regression`.
        class_weights: Weight of each class in the loss, `(labels,)`; all one by default. For
            multi-label it is the weight of a positive label.
        thresholds: For multi-label, the score of each label from which on it applies; 0.5 by
            default.
        prompt: What stands around the texts, for a decoder that tells the label's words.

    Attributes:
        metric: Key in `score` that early stopping follows. A subclass may name another one.
    """

    name: ClassVar[str] = "classification"
    head: ClassVar[str] = "sequence"
    # int64 `(rows,)`, or float32 `(rows,)` or `(rows, labels)`.
    schema: ClassVar[dict[str, Array]] = {"labels": Array("row")}
    predict_flags: ClassVar[type | None] = ClassificationFlags
    evaluate_flags: ClassVar[type | None] = DecisionFlags
    input_flags: ClassVar[Mapping[str, str]] = {"text_pair": "call predictor([text], [text_pair])"}
    labels_whole_texts: ClassVar[bool] = True
    label_array: ClassVar[str | None] = "labels"
    metric: str = ""

    def __init__(
        self,
        labels: list[str],
        *,
        problem_type: str | None = "single_label_classification",
        class_weights: list[float] | None = None,
        thresholds: list[float] | None = None,
        prompt: Prompt | None = None,
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
        self.text_prompt = prompt
        self._top_k: int | None = None

    @classmethod
    def from_splits(cls, config: RunConfig, splits: Any, *, causal: bool) -> ClassificationTask:
        """The task of a run that begins."""
        weights = None
        if config.class_weights == "balanced":
            weights = balanced_class_weights(
                splits.train, splits.labels, problem_type=splits.problem_type
            )
        task = cls(splits.labels, problem_type=splits.problem_type, class_weights=weights)
        task.ask(config, causal=causal)
        return task

    @classmethod
    def head_for(cls, settings: Mapping[str, Any]) -> str:
        """A linear head on the mean of the states is one on each token, whose logits are averaged.

        So plain transformers has it under the name of token classification.
        """
        return "token" if settings.get("pooling") == "mean" else cls.head

    @classmethod
    def sequence_level(cls) -> bool:
        """True with any head: the logits of a head on each token are averaged over the text."""
        return True

    def forward(self, model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Logits, `(batch, labels)`; of a head on each token, the means over the text's tokens."""
        logits = super().forward(model, inputs)
        if logits.dim() == 2:
            return logits
        mask = inputs["attention_mask"][:, :, None].to(logits.dtype)  # (B, T, 1)
        return (logits * mask).sum(1) / mask.sum(1)

    @classmethod
    def from_record(cls, run: Mapping[str, Any]) -> ClassificationTask:
        """The task of a run that is over."""
        # Runs without thresholds decided at 0.5.
        return cls(
            run["labels"],
            problem_type=run.get("problem_type"),
            thresholds=run.get("thresholds"),
            prompt=cls.recorded_prompt(run),
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
        weights = self.class_weights
        return text_features(
            examples,
            label_array(examples, self._label_ids, self.problem_type),
            tokenizer,
            class_weights=None if weights is None else weights.numpy(),
            max_length=max_length,
            schema=self.schema,
            prompt=self.text_prompt,
        )

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

    def choice_numbers(self, features: Features, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The text of each row; of relations, the pair."""
        labels = features["labels"][rows]
        known = labels >= 0 if labels.ndim == 1 else np.ones(len(rows), bool)
        return rows, known

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

    @classmethod
    def flag_examples(
        cls, flags: PairFlags, *, text: str | None, json: bool
    ) -> list[TextExample] | None:
        """The pair of `--text` and `--text-pair`; see `Task.flag_examples`."""
        if isinstance(flags, ClassificationFlags) and flags.top_k is not None and not json:
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
