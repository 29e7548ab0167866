"""The output layer of a head: its bias at the beginning, its input, and weights fitted to that."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from lowcost_ft.models.base import BaseModel
from lowcost_ft.models.existing_head import output_path

__all__ = ["begin_as_usual", "fit_layer", "reading"]

STRENGTH = 10.0
"""scikit-learn's C for a fitted layer; with its default, 1, too little is learned from few rows."""


def begin_as_usual(base: BaseModel, outputs: np.ndarray) -> list[float] | None:
    """Sets the bias of a new output layer to the outputs that fit best without any text.

    Args:
        base: The model. Nothing is set if the checkpoint has the layer, or if it has no bias.
        outputs: The bias, as `Task.usual_outputs` computes it, `(labels,)`.

    Returns:
        The bias; None where it was not set.
    """
    path = output_path(base.model, len(outputs), modules=base.head_names)
    if path is None or f"{path}.bias" not in base.new_weights:
        return None
    bias = base.model.get_submodule(path).bias
    with torch.no_grad():
        bias.copy_(torch.from_numpy(outputs))
    return [round(value, 4) for value in bias.tolist()]


@contextmanager
def reading(layer: nn.Linear) -> Iterator[list[torch.Tensor]]:
    """Collects the input of a layer, `(batch, ..., inputs)`, in each forward pass of the block."""
    read: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    try:
        yield read
    finally:
        hook.remove()


def fit_layer(layer: nn.Linear, states: np.ndarray, classes: np.ndarray) -> None:
    """Sets the weights of a layer to those of a multinomial logistic regression.

    Args:
        layer: The layer, with one output a class.
        states: What it reads, `(texts, inputs)`.
        classes: The number of each text's class, `(texts,)`; every class has a text.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # The strength suits states of about length 1. One scale for all keeps the layer linear.
    scale = float(np.linalg.norm(states, axis=1).mean()) or 1.0
    head = LogisticRegression(C=STRENGTH, max_iter=1000, fit_intercept=layer.bias is not None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        head.fit(states / scale, classes)
    weight, bias = head.coef_ / scale, head.intercept_
    if len(weight) == 1:  # For two classes, scikit-learn gives one row: the second's.
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))
