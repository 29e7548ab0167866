"""How a task computes: the forward pass, the loss, and predictions made of outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lowcost_ft.data.features import Features
from lowcost_ft.tasks.answering import Predictions

if TYPE_CHECKING:
    import torch

__all__ = ["Computing", "Outputs"]

Outputs = Any
"""What a task's forward pass returns: a tensor, or a dictionary of tensors."""


class Computing(ABC):
    """The part of a task that runs the model and turns its outputs into loss and predictions."""

    def forward(self, model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> Outputs:
        """Runs the model on a micro-batch; the outputs are in float32.

        Args:
            model: A task model of transformers.
            inputs: The inputs of the model, `(batch, sequence)` each.
        """
        return model(**inputs).logits.float()

    def real_outputs(self, outputs: Outputs, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Which outputs belong to a token and not to padding, `(batch, outputs)`.

        Args:
            outputs: What `forward` returns, with one output for each token.
            batch: All arrays that `featurize` made of these rows.
        """
        return batch["attention_mask"].bool()

    @abstractmethod
    def loss(self, outputs: Outputs, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Computes the sum of the losses over a micro-batch, `()`.

        The step divides the sum over its micro-batches by the summed weights of its rows
        (`Features.weights`). Labels that the model does not know count in neither.

        Args:
            outputs: What `forward` returns.
            batch: All arrays that `featurize` made of these rows, on the same device.
        """

    def predict(
        self,
        model: torch.nn.Module,
        inputs: Mapping[str, torch.Tensor],
        batch: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Predicts a micro-batch; the predictions stay on the device.

        Args:
            model: A task model of transformers.
            inputs: The inputs of the model, on its device.
            batch: All arrays that `featurize` made of these rows, on the CPU.
        """
        return self.decode_batch(self.forward(model, inputs), batch)

    def decode_batch(
        self, outputs: Outputs, batch: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Does what `decode` does, for tasks that need to know what is where in a row.

        Args:
            outputs: What `forward` returns.
            batch: All arrays that `featurize` made of these rows, on any device.
        """
        return self.decode(outputs)

    @abstractmethod
    def decode(self, outputs: Outputs) -> dict[str, torch.Tensor]:
        """Turns a micro-batch's outputs into predictions, on the device: name -> `(batch, ...)`."""

    @abstractmethod
    def new_predictions(self, features: Features) -> Predictions:
        """Makes arrays for the predictions of all examples, filled with zeros."""

    @abstractmethod
    def store(
        self,
        predictions: Predictions,
        decoded: dict[str, np.ndarray],
        batch: dict[str, torch.Tensor],
        examples: np.ndarray,
    ) -> None:
        """Writes the predictions of a micro-batch into the arrays of all examples.

        Args:
            predictions: The arrays, from `new_predictions`.
            decoded: What `decode_batch` returns, on the CPU.
            batch: All arrays that `featurize` made of these rows, on the CPU.
            examples: The number of each row's example, `(batch,)`.
        """
