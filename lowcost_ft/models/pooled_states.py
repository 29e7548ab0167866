"""The state of a whole text: the mean of what a middle layer gives its tokens as it predicts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.families import find_family
from lowcost_ft.models.virtual_tokens import VirtualTokens

__all__ = ["PooledTexts", "Sums", "keep_states", "keeping_states", "middle_layer", "sum_states"]
__all__ += ["take_states"]

Sums = tuple[np.ndarray, np.ndarray]
"""The summed states of rows, `(rows, width)`, and how many tokens were summed for each."""

_LAST = threading.local()
"""The states of the last forward pass of each thread, which predicts with a copy of its own."""


class PooledTexts:
    """Adds up the states of texts, micro-batch by micro-batch.

    Args:
        num_examples: How many texts there are.
    """

    def __init__(self, num_examples: int) -> None:
        self.num_examples = num_examples
        self.sums: np.ndarray | None = None
        self.tokens = np.zeros(num_examples, np.float64)

    def take(self, batch: Mapping[str, torch.Tensor]) -> Sums | None:
        """The summed states of the rows that have just run; None where the model shows none.

        Args:
            batch: The rows, with their `attention_mask`.
        """
        states = take_states()
        return None if states is None else sum_states(states, batch)

    def add(self, taken: Sums | None, examples: np.ndarray) -> None:
        """Adds rows to the texts that they belong to."""
        if taken is None:
            return
        sums, tokens = taken
        if self.sums is None:
            self.sums = np.zeros((self.num_examples, sums.shape[1]), np.float32)
        if len(examples) == 0:  # A share without rows runs one, which counts nothing.
            return
        np.add.at(self.sums, examples, sums)
        np.add.at(self.tokens, examples, tokens)

    def states(self, texts: np.ndarray | None = None) -> np.ndarray | None:
        """The mean state of each text, `(texts, width)`; None if that of one is not known.

        Args:
            texts: Numbers of the texts that have run; all by default.
        """
        if self.sums is None:
            return None
        chosen = slice(None) if texts is None else texts
        sums, tokens = self.sums[chosen], self.tokens[chosen]
        if not (tokens > 0).all():
            return None
        means: np.ndarray = sums / tokens[:, None].astype(np.float32)
        return means if np.isfinite(means).all() else None


def take_states() -> torch.Tensor | None:
    """What the last forward pass of this thread left, `(rows, sequence, width)`, once."""
    states: torch.Tensor | None = _LAST.__dict__.pop("states", None)
    return states


def sum_states(states: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> Sums | None:
    """The states of rows, summed over their tokens; None where they are of other tokens.

    Args:
        states: `(rows, sequence, width)`.
        batch: The rows, with their `attention_mask`.
    """
    mask = batch["attention_mask"].to(states.device)
    if len(states) != len(mask) or states.shape[1] < mask.shape[1]:
        return None  # Such as those that a decoder has written.
    # What prompt tuning puts in front of a text is not of it.
    states = states[:, states.shape[1] - mask.shape[1] :]
    sums = (states.float() * mask.unsqueeze(-1)).sum(1)  # (B, H)
    return sums.cpu().numpy(), mask.sum(1).cpu().numpy()


def keep_states(model: nn.Module) -> Any:
    """Lets a model's forward passes leave the states of their middle layer for `PooledTexts.take`.

    There states tell what a text is about; higher up they tell what the task makes of it. Of a
    model whose layers are not known, or are one and the same, the last states are left.

    Args:
        model: A task model of transformers, which copies for threads may be made of afterwards.

    Returns:
        A handle with `remove`; None for a model whose backbone is not known.
    """
    inner: Any = model
    if isinstance(inner, VirtualTokens):
        inner = inner.peft_model.get_base_model()
    place = _middle_layer(inner)
    if place is None:
        place = getattr(inner, getattr(inner, "base_model_prefix", "") or "", None)
    return place.register_forward_hook(_note) if isinstance(place, nn.Module) else None


def _middle_layer(model: Any) -> nn.Module | None:
    family = find_family(model.config) if hasattr(model, "config") else None
    if family is None or family.shared_layers:
        return None
    try:
        layers = layer_list(model, family)
    except AttributeError:
        return None
    return layers[middle_layer(len(layers))] if len(layers) else None


def middle_layer(count: int) -> int:
    """Number of the layer whose states are kept, of a model with so many."""
    return (count - 1) // 2


@contextmanager
def keeping_states(model: nn.Module) -> Iterator[bool]:
    """`keep_states` for a while; whether the model leaves any."""
    handle = keep_states(model)
    try:
        yield handle is not None
    finally:
        _LAST.__dict__.pop("states", None)
        if handle is not None:
            handle.remove()


def _note(module: nn.Module, inputs: Any, output: Any) -> None:
    states = getattr(output, "last_hidden_state", output)
    if isinstance(states, tuple):
        states = states[0]
    if torch.is_tensor(states) and states.ndim == 3:
        _LAST.states = states
