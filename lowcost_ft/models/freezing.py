"""Layers that never train: kept in evaluation mode and off the backward pass.

With `--trainable-layers K` the embeddings and the lower L - K layers of a model stay as they are.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.family import Family

__all__ = ["freeze_below", "frozen_modules", "frozen_names", "run_frozen_once"]


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


def frozen_modules(model: nn.Module) -> list[nn.Module]:
    """The modules of a model that `freeze_below` has frozen, lowest first."""
    return [module for module in model.modules() if isinstance(module, _Frozen)]


@contextmanager
def run_frozen_once(model: nn.Module) -> Iterator[None]:
    """Inside the block, the frozen modules run in the first forward pass alone.

    For several passes over the same rows: every later one starts from what the lowest trainable
    layer was given in the first. All frozen modules return that, the embeddings too, since the
    shape and type of their output are what a model builds its masks from.
    """
    modules = frozen_modules(model)
    widths: dict[nn.Module, int | None] = {}
    latest: list[Any] = [None]

    def run(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if module not in widths:
            found = type(module).forward(module, *args, **kwargs)
            is_tuple = isinstance(found, tuple)
            widths[module] = len(found) if is_tuple else None
            latest[0] = found[0] if is_tuple else found
            return found
        width = widths[module]
        return latest[0] if width is None else (latest[0], *[None] * (width - 1))

    for module in modules:
        module.forward = functools.partial(run, module)
    try:
        yield
    finally:
        for module in modules:
            del module.forward
