"""What a task is to the rest of the package: one file that says all of this."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from lowcost_ft.data.features import Features

__all__ = ["ENCODED_AT_ONCE", "Predictions", "Task"]

ENCODED_AT_ONCE = 1000
"""Examples that a tokenizer gets in one call: enough for its threads, few enough for memory."""

Predictions = dict[str, np.ndarray]
"""Named arrays of one prediction an example (or a word), never logits of every token."""


class Task(Protocol):
    """Featurizes examples, turns logits into a loss and into predictions, and scores them.

    Attributes:
        name: Name of the task, as in `run.json`.
        head: Kind of head that the model gets.
        labels: Names of the outputs, in the order of the logits.
        problem_type: What transformers calls the problem; None for NER.
        metric: Key in `score` that early stopping follows; higher is better.
    """

    name: ClassVar[str]
    head: ClassVar[Literal["token", "sequence"]]
    labels: list[str]
    problem_type: str | None
    metric: str

    def featurize(
        self, examples: Sequence[Any], tokenizer: PreTrainedTokenizerBase, *, max_length: int
    ) -> Features:
        """Tokenizes examples, labelled or not, in batches."""

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Sum of the losses over a micro-batch; the step divides by its summed weights.

        Labels that the model does not know have no part in it, nor in the weights.
        """

    def decode(self, logits: torch.Tensor) -> dict[str, torch.Tensor]:
        """Reduces a micro-batch's logits to predictions, on the device."""

    def new_predictions(self, features: Features) -> Predictions:
        """Arrays for the predictions of all examples, filled with zeros."""

    def store(
        self,
        predictions: Predictions,
        decoded: dict[str, np.ndarray],
        batch: dict[str, torch.Tensor],
        examples: np.ndarray,
    ) -> None:
        """Writes a decoded micro-batch, whose rows belong to `examples`, into `predictions`."""

    def present(self, examples: Sequence[Any], predictions: Predictions) -> list[dict[str, Any]]:
        """What `predictions.jsonl` says of each example, in the order of the examples."""

    def answer(self, examples: Sequence[Any], predictions: Predictions) -> list[dict[str, Any]]:
        """What a user is told of each example, in the order of the examples."""

    def choose_decisions(self, examples: Sequence[Any], predictions: Predictions) -> None:
        """Chooses by labelled validation data what answers depend on, such as thresholds."""

    def losses(self, examples: Sequence[Any], predictions: Predictions) -> np.ndarray:
        """How wrong the prediction of each labelled example is, to find the worst of them.

        NaN where the model does not know the label.
        """

    def score(
        self, examples: Sequence[Any], predictions: Predictions, *, seed: int = 0
    ) -> dict[str, Any]:
        """Metrics of the predictions against the examples' labels."""
