"""Cross-entropy over a large vocabulary, in pieces of the tokens: never all logits at once.

The gradient of the hidden states is computed in the same pass, so that a piece's logits are needed
once and forgotten, as in `torch.nn.functional.linear_cross_entropy` (torch 2.13) and in Liger's
kernel (Hsu et al. 2024, arXiv:2410.10989). Neither of the two is used: they know no capped logits,
the first is not in every torch that is supported, and both hide from the memory plan what they
allocate. Here it is plain operators, which the plan sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

__all__ = ["Vocabulary", "token_losses", "vocabulary_loss"]

_PIECE_NUMBERS = 1 << 22
_LEAST_TOKENS = 64
"""Tokens of a piece: as many as have four million logits, but at least so many, since each piece
reads the whole matrix."""


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """How a model turns a hidden state into logits.

    Attributes:
        weight: `(vocabulary, hidden)`.
        bias: `(vocabulary,)`, or None.
        scale: What the products of states and weights are multiplied by, before the bias.
        cap: Logits are `cap * tanh(logits / cap)`; None: as they are.
        dtype: Precision of the product; logits are float32 afterwards.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    scale: float
    cap: float | None
    dtype: torch.dtype

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of some tokens, `(tokens, vocabulary)`, in float32."""
        return self.finish(F.linear(hidden.to(self.dtype), self.weight.to(self.dtype)).float())

    def finish(self, products: torch.Tensor) -> torch.Tensor:
        """What follows the product of states and weights; `products` is changed in place."""
        if self.scale != 1:
            products *= self.scale
        if self.bias is not None:
            products += self.bias
        if self.cap is not None:
            products.div_(self.cap).tanh_().mul_(self.cap)
        return products


def vocabulary_loss(
    hidden: torch.Tensor, vocabulary: Vocabulary, targets: torch.Tensor
) -> torch.Tensor:
    """Sum of the cross-entropies of some tokens, `()`.

    Args:
        hidden: `(tokens, hidden)`.
        vocabulary: What makes logits of them.
        targets: The right token of each, `(tokens,)`.
    """
    found: torch.Tensor = _PiecedLoss.apply(
        hidden, vocabulary.weight, vocabulary.bias, targets, vocabulary
    )
    return found


def token_losses(
    hidden: torch.Tensor, vocabulary: Vocabulary, targets: torch.Tensor
) -> torch.Tensor:
    """The cross-entropy of each token, `(tokens,)`, without a graph."""
    with torch.no_grad():
        weight = vocabulary.weight.to(vocabulary.dtype)
        return torch.cat(
            [hidden.new_zeros(0, dtype=torch.float32)]
            + [
                F.cross_entropy(
                    vocabulary.finish((hidden[part].to(weight.dtype) @ weight.t()).float()),
                    targets[part],
                    reduction="none",
                )
                for part in _pieces(len(hidden), weight)
            ]
        )


def _pieces(tokens: int, weight: torch.Tensor) -> Iterator[slice]:
    size = max(_LEAST_TOKENS, _PIECE_NUMBERS // weight.shape[0])
    for start in range(0, tokens, size):
        yield slice(start, min(start + size, tokens))


class _PiecedLoss(torch.autograd.Function):
    """The loss, with its gradients computed piece by piece while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        vocabulary: Vocabulary,
    ) -> torch.Tensor:
        of_hidden, of_weight, of_bias = ctx.needs_input_grad[:3]
        total = hidden.new_zeros((), dtype=torch.float32)
        # In float32, since half precision loses gradients that the scaler makes larger later.
        grad_hidden = torch.empty_like(hidden, dtype=torch.float32) if of_hidden else None
        grad_weight = torch.zeros_like(weight) if of_weight else None
        grad_bias = torch.zeros_like(bias) if bias is not None and of_bias else None
        multiplied = weight.to(vocabulary.dtype)
        for part in _pieces(len(hidden), weight):
            states, right = hidden[part].to(multiplied.dtype), targets[part].unsqueeze(1)
            logits = vocabulary.finish((states @ multiplied.t()).float())  # (piece, vocabulary)
            slope = None
            if vocabulary.cap is not None:
                slope = (logits / vocabulary.cap).square_().neg_().add_(1)
            chosen = logits.gather(1, right)
            largest = logits.amax(1, keepdim=True)
            shares = logits.sub_(largest).exp_()
            sums = shares.sum(1, keepdim=True)
            total += (sums.log() + largest - chosen).sum()
            if not (of_hidden or of_weight or of_bias):
                continue
            shares.div_(sums)
            shares.scatter_add_(1, right, torch.full_like(chosen, -1.0))
            if slope is not None:
                shares.mul_(slope)
            if grad_bias is not None:
                grad_bias += shares.sum(0)
            if vocabulary.scale != 1:
                shares.mul_(vocabulary.scale)
            gradient = shares.to(multiplied.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = gradient @ multiplied
            if grad_weight is not None:
                grad_weight += gradient.t() @ states
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.dtypes = [hidden.dtype, weight.dtype, None if bias is None else bias.dtype]
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        found = [
            None if saved is None else (saved * gradient).to(dtype)
            for saved, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return (*found, None, None)
