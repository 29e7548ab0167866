"""Dropout on a CPU at a fifth of its price.

PyTorch draws one random number an element there, one after the other: more time than some of the
matrix products around it. A mask needs far fewer bits: 16 decide whether an element is kept, so
one draw of 64 serves four. The probability is met to 1/65536, and the scaling is that of the
probability as met. The draws come from PyTorch's own generator: seeds, checkpoints and gradient
checkpointing mean what they did.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

__all__ = ["lean_attention_dropout", "lean_dropout", "make_dropout_lean"]

_LEVELS = 1 << 16


def lean_dropout(x: torch.Tensor, probability: float) -> torch.Tensor:
    """x, with each element set to zero with this probability, and the others scaled up."""
    dropped = round(probability * _LEVELS)
    if dropped == _LEVELS:
        return x * 0.0
    words = x.new_empty(-(-x.numel() // 4), dtype=torch.int64)
    words.random_(-(2**63), None)
    draws = words.view(torch.int16)[: x.numel()].view(x.shape)
    noise = x.new_empty(x.shape)
    torch.ge(draws, dropped - _LEVELS // 2, out=noise)
    return x * noise.mul_(_LEVELS / (_LEVELS - dropped))


def make_dropout_lean(model: nn.Module) -> None:
    """Lets all dropout layers of a model draw their masks in this way, except on a GPU."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = _LeanDropout


class _LeanDropout(nn.Dropout):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.p or input.device.type == "cuda":
            return super().forward(input)
        return lean_dropout(input, self.p)


@contextmanager
def lean_attention_dropout() -> Iterator[None]:
    """Inside the block, attention draws its dropout masks in this way, too.

    Only where it has dropout: PyTorch's fused kernel for the CPU knows none, so none is lost.
    The block holds the backward pass as well, where gradient checkpointing runs layers again.
    """
    fused = ALL_ATTENTION_FUNCTIONS["sdpa"]
    ALL_ATTENTION_FUNCTIONS["sdpa"] = partial(_attend, fused)
    try:
        yield
    finally:
        del ALL_ATTENTION_FUNCTIONS["sdpa"]


def _attend(
    fused: Callable[..., Any],
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """softmax(scaling q k' + mask) v, with dropout of the softmax; `(batch, heads, tokens, width)`.

    Args:
        fused: What computes it where there is no dropout, or something unusual is asked for.
        module: The layer's attention.
        query: From which it looks.
        key: At what; it may have fewer heads, each for several of the query's.
        value: What it sees there.
        attention_mask: What it may see, True or 0, `(batch, 1 or heads, tokens, tokens)`.
        dropout: Probability.
        scaling: Of the scores.
        is_causal: Whether each token sees only those before it, where there is no mask.
        kwargs: What models pass for other kernels.

    Returns:
        `(batch, tokens, heads, width)`, and None for the probabilities.
    """
    if not dropout or any(kwargs.get(name) is not None for name in _UNUSUAL):
        options = {"dropout": dropout, "scaling": scaling, "is_causal": is_causal, **kwargs}
        return fused(module, query, key, value, attention_mask, **options)
    batch, heads, tokens, width = query.shape
    if heads != key.shape[1]:
        key, value = (t.repeat_interleave(heads // t.shape[1], 1) for t in (key, value))
    query, key, value = (t.reshape(batch * heads, -1, t.shape[-1]) for t in (query, key, value))
    scaling = width**-0.5 if scaling is None else scaling
    unused = query.new_empty(1)
    scores = torch.baddbmm(unused, query, key.transpose(1, 2), beta=0, alpha=scaling)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if attention_mask is None and causal and tokens > 1:
        attention_mask = scores.new_ones(tokens, key.shape[1], dtype=torch.bool).tril()
    if attention_mask is not None:
        if attention_mask.dtype == torch.bool:
            # Not minus infinity: a padding token that sees nothing must not become a NaN.
            low = torch.finfo(scores.dtype).min
            attention_mask = (~attention_mask).to(scores.dtype).mul_(low)
        scores = (scores.view(batch, heads, tokens, -1) + attention_mask).view(scores.shape)
    probabilities = lean_dropout(scores.softmax(-1), dropout).to(value.dtype)
    seen = torch.bmm(probabilities, value).view(batch, heads, tokens, -1)
    return seen.transpose(1, 2).contiguous(), None


_UNUSUAL = ("position_bias", "softcap", "cache")
