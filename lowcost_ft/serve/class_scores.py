"""Predictions that keep, beside the scores of classes, what they were before the softmax."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lowcost_ft.data.features import Features
from lowcost_ft.tasks.base import Outputs, Predictions, Task

__all__ = ["WithLogits", "class_rows"]


class WithLogits:
    """A task that gives scores of classes, whose predictions hold their `logits` as well.

    Everything else is the task's own.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def predict(
        self,
        model: torch.nn.Module,
        inputs: Mapping[str, torch.Tensor],
        batch: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """See `Task.predict`."""
        return self.decode_batch(self.task.forward(model, inputs), batch)

    def decode_batch(
        self, outputs: Outputs, batch: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """See `Task.decode_batch`; with the outputs themselves, `(batch, labels)`."""
        return self.task.decode_batch(outputs, batch) | {"logits": outputs}

    def new_predictions(self, features: Features) -> Predictions:
        """See `Task.new_predictions`."""
        predictions = self.task.new_predictions(features)
        return predictions | {"logits": np.zeros_like(predictions["scores"])}

    def store(
        self,
        predictions: Predictions,
        decoded: dict[str, np.ndarray],
        batch: dict[str, torch.Tensor],
        examples: np.ndarray,
    ) -> None:
        """See `Task.store`; the logits go where the scores go."""
        for name in ("scores", "logits"):
            self.task.store(
                {"scores": predictions[name]}, {"scores": decoded[name]}, batch, examples
            )


def class_rows(
    task: Task, examples: Sequence[Any], predictions: Predictions, name: str
) -> list[np.ndarray | None]:
    """The row of `scores` or `logits` of each example; None where it has none or several."""
    if name not in predictions or not task.gives_class_scores:
        return [None] * len(examples)
    given = predictions[name]
    told: Any = task
    # As `answer` tells them: probabilities of being right, where the run was calibrated.
    return task.class_scores(examples, told.told_scores(given) if name == "scores" else given)
