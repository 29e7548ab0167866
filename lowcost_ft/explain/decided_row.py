"""One decision of a model as a function of how much of each token it is shown.

A token is shown by a share between 0 and 1: its embedding is then that share of the way from one
that says nothing (`empty_embedding`) to its own.
Everything else stays: special tokens, positions, the tokens' types, the adapter and the weights,
quantized or not.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from lowcost_ft.data.batching import cut_step, inference_tokens
from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.models.attention_masks import known_padding
from lowcost_ft.models.int8_linear import inputs_unrounded
from lowcost_ft.models.loading import task_model
from lowcost_ft.models.trained_entry import TrainedEntry
from lowcost_ft.record.prediction_tokens import prediction_tokens
from lowcost_ft.tasks.explaining import Decision
from lowcost_ft.training.recovery import each_that_fits

__all__ = ["DecidedRow", "empty_embedding"]

_TOKENS_AT_ONCE = 8192


@torch.no_grad()
def empty_embedding(predictor: Any) -> torch.Tensor:
    """The mean of the embeddings of all tokens, `(width,)`: no word in particular.

    A mask or a padding token speaks for some answer or other, and more so where training has never
    seen it; a word that decides for the same answer would then get no credit.
    """
    embed = _transformers_model(predictor).get_input_embeddings()
    total = torch.zeros((), dtype=torch.float64)
    tokens = embed.weight.shape[0]
    for start in range(0, tokens, _TOKENS_AT_ONCE):
        ids = torch.arange(start, min(start + _TOKENS_AT_ONCE, tokens), device=embed.weight.device)
        total = total + embed(ids[None])[0].double().sum(0).cpu()
    return (total / tokens).float().to(embed.weight.device)


def _transformers_model(predictor: Any) -> Any:
    return task_model(getattr(predictor.model, "peft_model", predictor.model))


class DecidedRow:
    """A decision in one row of features.

    Args:
        predictor: The run with its model (`pipeline.predictor.Predictor`).
        features: The rows of one example.
        decision: What is decided.
        shown: Whether each token can be hidden, `(tokens,)`: special ones stay.
        empty: The embedding without a text, from `empty_embedding`.
    """

    def __init__(
        self,
        predictor: Any,
        features: Features,
        decision: Decision,
        shown: np.ndarray,
        empty: torch.Tensor,
    ) -> None:
        self._predictor = predictor
        self._decision = decision
        batch = collate(
            features, np.array([decision.row]), pad_token_id=predictor.tokenizer.pad_token_id
        )
        device = predictor.accelerator.device
        inputs = model_inputs(batch, features)
        self._inputs = {name: value.to(device) for name, value in inputs.items()}
        model = _transformers_model(predictor)
        self._entry = TrainedEntry(model, None)
        can_hide = torch.from_numpy(shown).to(device)[:, None]
        with torch.no_grad():
            own = model.get_input_embeddings()(self._inputs["input_ids"])[0].float()  # (T, H)
            self._empty = torch.where(can_hide, empty, own)
            self._way = own - self._empty

    @property
    def tokens(self) -> int:
        """How many tokens the row has."""
        return len(self._way)

    def values(self, shares: np.ndarray) -> np.ndarray:
        """The decision's value for shares of its tokens.

        Args:
            shares: `(points, tokens)`.

        Returns:
            `(points,)`, float64.
        """
        return self._run(shares, slopes=False)[0]

    def slopes(self, shares: np.ndarray) -> np.ndarray:
        """How the value grows with the share of each token, `(points, tokens)`, float64."""
        return self._run(shares, slopes=True)[1]

    def _run(self, shares: np.ndarray, *, slopes: bool) -> tuple[np.ndarray, np.ndarray]:
        points = len(shares)
        values, grown = np.zeros(points), np.zeros((points, self.tokens if slopes else 0))
        lengths = np.full(points, self.tokens)
        limit = inference_tokens(
            prediction_tokens(self._predictor.run),
            self._predictor.accelerator.device.type,
        )
        pieces = cut_step(np.arange(points), lengths, micro_batch_tokens=limit)

        def one(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return self._batch(shares[rows], slopes=slopes)

        for rows, (value, slope) in each_that_fits(
            pieces, lengths, one, absorb=True, name="version {} of the text".format, recoveries=[]
        ):
            values[rows], grown[rows] = value, slope
        return values, grown

    def _batch(self, shares: np.ndarray, *, slopes: bool) -> tuple[np.ndarray, np.ndarray]:
        predictor = self._predictor
        share = torch.from_numpy(shares).to(self._way)[..., None]  # (B, T, 1)
        entering = self._empty + share * self._way
        inputs = {
            name: value.expand(len(shares), *value.shape[1:])
            for name, value in self._inputs.items()
        }
        with (
            torch.enable_grad() if slopes else torch.no_grad(),
            known_padding(False),
            inputs_unrounded(predictor.model),
            predictor.accelerator.autocast(),
            self._entry.changed(lambda own: entering.to(own.dtype)),
            _without_weight_gradients(predictor.model) if slopes else nullcontext(),
        ):
            entering.requires_grad_(slopes)
            value = self._decision.value(predictor.task.forward(predictor.model, inputs))
            slope = torch.zeros(len(shares), 0)
            if slopes:
                (gradient,) = torch.autograd.grad(value.sum(), entering)
                slope = (gradient.float() * self._way).sum(-1)
        return (
            value.detach().double().cpu().numpy(),
            slope.detach().double().cpu().numpy(),
        )


class _without_weight_gradients:  # noqa: N801
    """Inside the block no weight takes part in a gradient: nothing is kept for theirs."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._trained: Sequence[torch.nn.Parameter] = [
            parameter for parameter in model.parameters() if parameter.requires_grad
        ]

    def __enter__(self) -> None:
        for parameter in self._trained:
            parameter.requires_grad_(False)

    def __exit__(self, *_: object) -> None:
        for parameter in self._trained:
            parameter.requires_grad_(True)
