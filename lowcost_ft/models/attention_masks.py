"""Attention masks, built without looking into them: whether there is padding is known beforehand.

A model of transformers asks each mask whether it hides anything at all, to leave it out if not.
On a GPU that answer makes the host wait for everything it has queued, in every micro-batch; a
tensor without values, as in a memory prediction, cannot answer. The lengths of the rows are on the
host, so the answer is known before the tensors are made.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812
from transformers.masking_utils import (
    ALL_MASK_ATTENTION_FUNCTIONS,
    eager_mask,
    flash_attention_mask,
    sdpa_mask,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lowcost_ft.models.joined_lora import autocast_dtype

__all__ = ["has_padding", "known_padding", "masks_as_numbers"]


def has_padding(lengths: np.ndarray) -> bool:
    """Whether rows of these lengths need padding when they stand in one micro-batch."""
    return bool((lengths != lengths[0]).any())


@contextmanager
def known_padding(padded: bool) -> Iterator[None]:
    """Inside the block, models build their masks from this answer instead of asking for it.

    Nothing else changes: a model still takes the plain mask of `collate`, `(batch, sequence)`, and
    makes of it whatever its layers need, sliding windows and causal masks included. The answer
    holds in the calling thread alone; others may have answers of their own meanwhile.

    Args:
        padded: Whether any of the rows is padded. Blocks must not be nested.
    """
    _hold(+1)
    _ANSWER.padded = padded
    try:
        yield
    finally:
        del _ANSWER.padded
        _hold(-1)


_ANSWER = threading.local()
_LOCK = threading.Lock()
_blocks = 0


def _hold(change: int) -> None:
    """Counts the open blocks of all threads; the first puts our builders in, the last takes them
    out."""
    global _blocks
    with _LOCK:
        _blocks += change
        if change > 0 and _blocks == 1:
            # What is set here stands before the library's own until it is deleted again.
            for name, build in _BUILDERS.items():
                ALL_MASK_ATTENTION_FUNCTIONS[name] = partial(_built_unseen, build)
        elif not _blocks:
            for name in _BUILDERS:
                del ALL_MASK_ATTENTION_FUNCTIONS[name]


def _built_unseen(build: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    padded = getattr(_ANSWER, "padded", None)
    if padded is None:
        # Another thread has opened a block, and this one has not.
        return build(*args, **kwargs)
    if not padded:
        # What hides nothing is left out; a builder asks no further when there is none.
        kwargs["attention_mask"] = None
    elif build is flash_attention_mask:
        return kwargs["attention_mask"]
    else:
        kwargs |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    return build(*args, **kwargs)


_BUILDERS: dict[str, Callable[..., Any]] = {
    "sdpa": sdpa_mask,
    "eager": eager_mask,
    "flash_attention_2": flash_attention_mask,
}


@contextmanager
def masks_as_numbers() -> Iterator[None]:
    """Inside the block, what a mask adds to the scores is computed once for all layers.

    PyTorch's attention turns a mask of true and false into zeros and minus infinities in every
    layer, which the backward pass keeps, each its own. The block holds the backward pass as well,
    where gradient checkpointing runs layers again. Blocks must not be nested.
    """
    fused = ALL_ATTENTION_FUNCTIONS["sdpa"]
    known: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    ALL_ATTENTION_FUNCTIONS["sdpa"] = partial(_attend_with_numbers, fused, known)
    try:
        yield
    finally:
        del ALL_ATTENTION_FUNCTIONS["sdpa"]


def _attend_with_numbers(
    fused: Callable[..., Any],
    known: dict[int, tuple[torch.Tensor, torch.Tensor]],
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> Any:
    mask = attention_mask
    # Compiled code must not keep tensors of one call.
    if mask is not None and mask.dtype == torch.bool and not torch.compiler.is_compiling():
        if id(mask) not in known:
            dtype = autocast_dtype(query.device.type) or query.dtype
            known[id(mask)] = mask, _as_numbers(mask, dtype)  # The mask stays, and so does its id.
        mask = known[id(mask)][1]
    return fused(module, query, key, value, mask, **options)


def _as_numbers(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """As PyTorch does it, in rows that begin where the kernel wants to read them."""
    zero, minus = (
        torch.full((), value, dtype=dtype, device=mask.device) for value in (0.0, -math.inf)
    )
    numbers = torch.where(mask, zero, minus)
    missing = -numbers.size(-1) % _ALIGNED_NUMBERS
    return F.pad(numbers, (0, missing))[..., : numbers.size(-1)] if missing else numbers


_ALIGNED_NUMBERS = 8
"""ATen/native/transformers/attention.cpp, `preprocess_mask`: else it copies them in each layer."""
