"""The last layer of a head: what it reads, and weights that are put into it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["output_layer", "put_weights", "reading"]


def output_layer(model: Any, outputs: int) -> nn.Linear:
    """The trained linear layer that gives the logits.

    Args:
        model: A task model, with or without peft's wrapper.
        outputs: Number of logits.
    """
    found = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear)
        and module.out_features == outputs
        and module.weight.requires_grad
    ]
    assert found, f"no trained layer has {outputs} outputs"
    return found[-1]  # Heads come after what adapters add to the layers below.


@contextmanager
def reading(layer: nn.Linear) -> Iterator[list[torch.Tensor]]:
    """Inside the block, a list gets what the layer reads in each pass."""
    read: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    try:
        yield read
    finally:
        hook.remove()


def put_weights(layer: nn.Linear, weight: np.ndarray, bias: np.ndarray | None) -> None:
    """Replaces the weights of a layer.

    Args:
        layer: The layer.
        weight: `(outputs, inputs)`.
        bias: `(outputs,)`; None for a layer without.
    """
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        if bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))
