"""Attention masks, built without looking into them: whether there is padding is known beforehand.

A model of transformers asks each mask whether it hides anything at all, to leave it out if not.
On a GPU that answer makes the host wait for everything it has queued, in every micro-batch; a
tensor without values, as in a memory prediction, cannot answer. The lengths of the rows are on the
host, so the answer is known before the tensors are made.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from transformers.masking_utils import (
    ALL_MASK_ATTENTION_FUNCTIONS,
    eager_mask,
    flash_attention_mask,
    sdpa_mask,
)

__all__ = ["has_padding", "known_padding"]


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
