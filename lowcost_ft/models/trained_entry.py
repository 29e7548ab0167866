"""Where an input enters the part of a model that trains, and what may be changed there.

That is the input of the first trainable layer where lower ones are frozen, whether they run or
their output comes from disk, so that memory never decides what is changed; else the embeddings of
the tokens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.families import find_family
from lowcost_ft.models.freezing import frozen_modules

__all__ = ["TrainedEntry", "has_dropout"]

Change = Callable[[torch.Tensor], torch.Tensor]


class TrainedEntry:
    """The place of one model where its input can be changed.

    Args:
        model: A task model of transformers, without peft's wrapper; its frozen layers may be away.
        trainable_layers: How many of the top layers train; None for all, embeddings included.
    """

    def __init__(self, model: Any, trainable_layers: int | None) -> None:
        self._is_layer = trainable_layers is not None
        self._module: nn.Module
        if trainable_layers is None:
            self._module = model.get_input_embeddings()
        else:
            family = find_family(model.config)
            assert family is not None
            self._module = layer_list(model, family)[-trainable_layers]

    @contextmanager
    def changed(self, change: Change) -> Iterator[None]:
        """Inside the block, `change` is applied to what enters, `(batch, tokens, width)`."""

        def before(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple:
            if args:
                return (change(args[0]), *args[1:]), kwargs
            return args, kwargs | {"hidden_states": change(kwargs["hidden_states"])}

        if self._is_layer:
            hook = self._module.register_forward_pre_hook(before, with_kwargs=True)
        else:
            hook = self._module.register_forward_hook(lambda _, __, output: change(output))
        try:
            yield
        finally:
            hook.remove()


def has_dropout(model: nn.Module) -> bool:
    """Whether anything that trains, or lies above what trains, has dropout in training."""
    below = {m for frozen in frozen_modules(model) for m in frozen.modules()}
    return any(
        (isinstance(module, nn.Dropout) and module.p > 0)
        # Attention has a probability, and no module, where its kernel draws the mask.
        or (isinstance(rate := getattr(module, "attention_dropout", 0), float) and rate > 0)
        for module in model.modules()
        if module not in below
    )
