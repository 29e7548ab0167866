"""Layers that never train: kept in evaluation mode and off the backward pass.

With `--trainable-layers K` the embeddings and the lower L - K layers of a model stay as they are.
"""

import functools
from typing import Any

import torch

from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.families import Family

__all__ = ["freeze_below", "frozen_names"]


def frozen_names(model: Any, family: Family, trainable_layers: int) -> list[str]:
    """Paths, inside the backbone, of all modules that run before the first trainable layer."""
    first = len(layer_list(model, family)) - trainable_layers
    names = [*family.embeddings, *(f"{family.layers}.{index}" for index in range(first))]
    if first:
        names += family.after_first_layer
    present = {name for name, _ in model.base_model.named_modules()}
    return [name for name in names if name in present]


def freeze_below(model: Any, family: Family, trainable_layers: int) -> None:
    """Runs the modules below the trainable layers in evaluation mode and without a graph, always.

    Their class is replaced by a subclass of it, so that `model.train()`, copies and wrappers
    (data parallelism, peft) cannot undo it.

    Args:
        model: A task model of transformers; adapters inside its layers do not matter.
        family: Its entry in the table.
        trainable_layers: How many of the top layers train.
    """
    for name in frozen_names(model, family, trainable_layers):
        module = model.base_model.get_submodule(name)
        module.requires_grad_(False).eval()
        kind: Any = type(module)
        module.__class__ = _frozen_class(kind)


class _Frozen:
    """Mixed into the class of a module that is not to be trained."""

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs)  # type: ignore[misc]

    def train(self, mode: bool = True) -> Any:
        return super().train(False)  # type: ignore[misc]


@functools.cache
def _frozen_class(module_class: type) -> type:
    if issubclass(module_class, _Frozen):
        return module_class
    # The name stays: libraries look layers up by it.
    return type(module_class.__name__, (_Frozen, module_class), {})
