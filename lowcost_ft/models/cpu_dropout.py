"""Dropout on a CPU, in less than a third of the time.

PyTorch draws one random number an element there, one after the other: more time than some of the
matrix products around it. A mask needs far fewer bits: 8 decide whether an element is kept, so one
draw of 64 serves eight. They know 256 probabilities; between two of them, each call draws which one
it takes, so that every element falls out with the probability asked for, and scales by the one it
took. Near 0 and 1, where 256 are too coarse, it is 16 bits. The draws come from PyTorch's own
generator, or are those of a row (`mask_bits.py`). Seeds, checkpoints and gradient checkpointing
mean what they did.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lowcost_ft.models.mask_bits import random_words

__all__ = ["lean_dropout", "lean_functions", "make_dropout_lean"]

_plain_dropout = F.dropout
_USUAL = (0.04, 0.96)
"""Probabilities for which 256 levels are fine enough."""
_POSSIBLE = (1e-4, 1 - 1e-4)
"""... and 65,536 levels."""


def lean_dropout(x: torch.Tensor, probability: float) -> torch.Tensor:
    """x, with each element set to zero with this probability, and the others scaled up."""
    if not _is_possible(probability):
        return _plain_dropout(x, probability)
    if torch.compiler.is_compiling():  # What is drawn inside would break the compiled code apart.
        return x * _compiled_noise(x.detach(), probability)
    return x * _noise(x, probability)


def _is_possible(probability: float) -> bool:
    return _POSSIBLE[0] <= probability <= _POSSIBLE[1]


def _noise(x: torch.Tensor, probability: float) -> torch.Tensor:
    """A mask in the shape of x: 0 for dropped elements, and the scale for the others."""
    bits = 8 if _USUAL[0] <= probability <= _USUAL[1] else 16
    draws, own = random_words(x, bits)
    levels = 1 << bits
    dropped = int(probability * levels)
    between = probability * levels - dropped
    if between and own is not None:  # A simulated step has no numbers.
        dropped += own < (between - 0.5) * 2**64
    noise = x.new_empty(x.shape)
    torch.ge(draws, dropped - levels // 2, out=noise)
    return noise.mul_(levels / (levels - dropped))


# To torch.compile a single operation, which it neither looks into nor runs again.
_compiled_noise = torch.library.custom_op(
    "lowcost_ft::dropout_noise", _noise, mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,)
)
_compiled_noise.register_fake(lambda x, probability: x.new_empty(x.shape))


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
def lean_functions() -> Iterator[None]:
    """Inside the block, attention and calls of `F.dropout` draw their masks in this way, too.

    Attention only where it has dropout: PyTorch's fused kernel for the CPU knows none, so none is
    lost. The block holds the backward pass as well, where gradient checkpointing runs layers again.
    """
    fused = ALL_ATTENTION_FUNCTIONS["sdpa"]
    ALL_ATTENTION_FUNCTIONS["sdpa"] = partial(_attend, fused, _Bias())
    F.dropout = _call
    try:
        yield
    finally:
        F.dropout = _plain_dropout
        del ALL_ATTENTION_FUNCTIONS["sdpa"]


@wraps(_plain_dropout)  # torch.compile asks for its name.
def _call(
    input: torch.Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> torch.Tensor:
    """Many models, encoder-decoders most of all, have no dropout layers and call the function."""
    if not training or inplace or not _is_possible(p) or input.device.type == "cuda":
        return _plain_dropout(input, p, training, inplace)
    return lean_dropout(input, p)


class _Bias:
    """What a mask adds to the scores, computed for the first layer and kept for the others."""

    def __init__(self) -> None:
        self._mask: torch.Tensor | None = None
        self._bias: torch.Tensor | None = None

    def of(self, mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if mask.dtype != torch.bool:
            return mask
        if torch.compiler.is_compiling():  # Compiled code must not keep tensors of one call.
            return _bias_of(mask, dtype)
        if mask is not self._mask or self._bias is None:
            self._mask, self._bias = mask, _bias_of(mask, dtype)
        return self._bias


def _bias_of(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    # Not minus infinity: a padding token that sees nothing must not become a NaN.
    return (~mask).to(dtype).mul_(torch.finfo(dtype).min)


def _attend(
    fused: Callable[..., Any],
    bias: _Bias,
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """softmax(scaling q k' + mask) v, with dropout of the softmax; `(batch, heads, tokens, width)`.

    Args:
        fused: The kernel for calls without dropout, or with something unusual.
        bias: What the masks add to the scores.
        module: The layer's attention.
        query: Queries, `(batch, heads, tokens, width)`.
        key: Keys; they may have fewer heads, each for several of the queries'.
        value: Values, in the shape of the keys.
        attention_mask: True or 0 where a token may look, `(batch, 1 or heads, tokens, tokens)`.
        dropout: Its probability.
        scaling: What scores are multiplied by.
        is_causal: Whether each token sees only those before it, where there is no mask.
        position_bias: What T5 adds to the scores, `(1 or batch, heads, tokens, tokens)`.
        kwargs: What models pass for other kernels.

    Returns:
        `(batch, tokens, heads, width)`, and None for the probabilities.
    """
    if not dropout or any(kwargs.get(name) is not None for name in _UNUSUAL):
        options = {"dropout": dropout, "scaling": scaling, "is_causal": is_causal, **kwargs}
        options["position_bias"] = position_bias
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
    if position_bias is not None:
        scores = (scores.view(batch, heads, tokens, -1) + position_bias).view(scores.shape)
    if attention_mask is not None:
        added = bias.of(attention_mask, scores.dtype)
        scores = (scores.view(batch, heads, tokens, -1) + added).view(scores.shape)
    # By row, as masks are drawn.
    probabilities = lean_dropout(scores.softmax(-1).view(batch, heads, tokens, -1), dropout)
    probabilities = probabilities.to(value.dtype).view(scores.shape)
    seen = torch.bmm(probabilities, value).view(batch, heads, tokens, -1)
    return seen.transpose(1, 2).contiguous(), None


_UNUSUAL = ("softcap", "cache")
