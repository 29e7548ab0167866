"""What a model for question answering computes: logits, loss, and the best spans of each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lowcost_ft.data.features import Features
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.question_answering.spans import (
    IMPOSSIBLE,
    KEPT_SPANS,
    best_spans,
    possible_tokens,
)

if TYPE_CHECKING:
    import torch

__all__ = ["QuestionComputing"]


class QuestionComputing(Task):
    """The part of the task that meets tensors.

    Attributes:
        max_answer_tokens: Tokens of the longest answer.
    """

    max_answer_tokens: int

    def forward(
        self, model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Logits of the first and of the last token, `(batch, sequence)` each."""
        outputs = model(**inputs)
        return {"first": outputs.start_logits.float(), "last": outputs.end_logits.float()}

    def loss(
        self, outputs: dict[str, torch.Tensor], batch: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Summed over the windows: the mean of the cross-entropies of first and last token.

        Only tokens of the text and the place of no answer take part: padding and question are no
        answers.
        """
        from torch.nn import functional as F  # noqa: N812

        possible = possible_tokens(batch, with_null=True)
        losses = [
            F.cross_entropy(
                outputs[name].masked_fill(~possible, IMPOSSIBLE), batch[name], reduction="sum"
            )
            for name in ("first", "last")
        ]
        return (losses[0] + losses[1]) / 2

    def decode(self, outputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Not used: what stands where in a row is known with the batch alone."""
        raise AssertionError("see decode_batch")

    def decode_batch(
        self, outputs: dict[str, torch.Tensor], batch: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """The best spans of each window as tokens, and the score of no answer."""
        import torch

        device = outputs["first"].device
        on_device = {name: batch[name].to(device) for name in ("context_tokens", "null")}
        possible = possible_tokens(on_device, with_null=False)
        masked = [outputs[name].masked_fill(~possible, IMPOSSIBLE) for name in ("first", "last")]
        first, last, score = best_spans(*masked, longest=self.max_answer_tokens)
        place = on_device["null"].unsqueeze(1)
        null = torch.stack([outputs[name].gather(1, place) for name in ("first", "last")]).sum(0)
        return {"first": first, "last": last, "score": score, "null": null.squeeze(1)}

    def new_predictions(self, features: Features) -> Predictions:
        """The best spans of every row, in characters, and the score of no answer."""
        rows = len(features.examples)
        return {
            "example": np.zeros(rows, np.int64),
            "start": np.zeros((rows, KEPT_SPANS), np.int64),
            "end": np.zeros((rows, KEPT_SPANS), np.int64),
            "score": np.zeros((rows, KEPT_SPANS), np.float32),
            "null": np.zeros(rows, np.float32),
        }

    def store(
        self,
        predictions: Predictions,
        decoded: dict[str, np.ndarray],
        batch: dict[str, torch.Tensor],
        examples: np.ndarray,
    ) -> None:
        """Writes a micro-batch's windows, each at the place of its row."""
        numbers = batch["number"].numpy()
        predictions["example"][numbers] = examples
        for name, source, where in (
            ("start", "char_starts", "first"),
            ("end", "char_ends", "last"),
        ):
            characters = batch[source].numpy()
            last = characters.shape[1] - 1
            found = np.take_along_axis(characters, np.minimum(decoded[where], last), axis=1)
            predictions[name][numbers] = np.where(decoded["score"] > IMPOSSIBLE / 2, found, 0)
        predictions["score"][numbers] = decoded["score"]
        predictions["null"][numbers] = decoded["null"]
