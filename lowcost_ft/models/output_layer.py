"""The last layer of a head: where it begins, what it reads, and weights fitted to that."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from lowcost_ft.models.base import BaseModel
from lowcost_ft.models.existing_head import output_path

__all__ = ["begin_as_usual", "fit_layer", "output_layer", "reading"]

STRENGTH = 10.0
"""scikit-learn's C of a fitted layer: 1 learns too little from few rows."""


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


def begin_as_usual(base: BaseModel, outputs: np.ndarray) -> list[float] | None:
    """Sets the bias of a new output layer to what it gives if the text is not looked at.

    Args:
        base: The model; a layer that the checkpoint has stays as it is, and one without a bias has
            nothing to set.
        outputs: One number an output.

    Returns:
        The bias, where it was set.
    """
    path = output_path(base.model, base.head_names, len(outputs))
    if path is None or f"{path}.bias" not in base.new_weights:
        return None
    bias = base.model.get_submodule(path).bias
    with torch.no_grad():
        bias.copy_(torch.from_numpy(outputs))
    return [round(value, 4) for value in bias.tolist()]


@contextmanager
def reading(layer: nn.Linear) -> Iterator[list[torch.Tensor]]:
    """Inside the block, a list gets what the layer reads in each pass."""
    read: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    try:
        yield read
    finally:
        hook.remove()


def fit_layer(layer: nn.Linear, states: np.ndarray, classes: np.ndarray) -> None:
    """Makes a layer a multinomial logistic regression.

    Args:
        layer: One output a class.
        states: What it reads, `(texts, inputs)`.
        classes: Number of the class of each, `(texts,)`; each class has a text.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # About length 1, which the strength is for. Lengths of their own stay, so that it is linear.
    scale = float(np.linalg.norm(states, axis=1).mean()) or 1.0
    head = LogisticRegression(C=STRENGTH, max_iter=1000, fit_intercept=layer.bias is not None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        head.fit(states / scale, classes)
    weight, bias = head.coef_ / scale, head.intercept_
    if len(weight) == 1:  # Of two classes there is the second's alone.
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))
