"""The output layer of a head: its bias at the beginning, its input, and weights fitted to that."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from lowcost_ft.models.base import BaseModel
from lowcost_ft.models.existing_head import output_path

__all__ = ["begin_as_usual", "fit_layer", "has_new_output", "logistic_regression"]
__all__ += ["mean_states", "reading"]

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


def has_new_output(base: BaseModel, outputs: int) -> bool:
    """Whether the checkpoint lacks the output layer, with so many outputs."""
    path = output_path(base.model, outputs, modules=base.head_names)
    return f"{path}.weight" in base.new_weights


@contextmanager
def reading(layer: nn.Linear) -> Iterator[list[torch.Tensor]]:
    """Collects the input of a layer, `(batch, ..., inputs)`, in each forward pass of the block."""
    read: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    try:
        yield read
    finally:
        hook.remove()


def mean_states(
    read: Sequence[torch.Tensor], attention_mask: torch.Tensor, *, apart: bool = False
) -> torch.Tensor:
    """Computes the mean over the tokens of each text, `(texts, hidden)`.

    Args:
        read: What the layer has read, `(texts, tokens, hidden)`: the last is taken, or all of them
            together where texts ran apart.
        attention_mask: 1 where there is a token, `(texts, tokens)`.
        apart: Whether texts ran in parts of like length, the longest first (`Features.passes`).
    """
    if apart:
        order = attention_mask.sum(1).argsort(descending=True, stable=True)
        places = order.split([len(states) for states in read])
        parts = [
            mean_states([states], attention_mask[place, : states.shape[1]])
            for states, place in zip(read, places, strict=True)
        ]
        return torch.cat(parts)[order.argsort()]
    states = read[-1]
    mask = attention_mask[:, :, None].to(states.dtype)
    return (states * mask).sum(1) / mask.sum(1)


def fit_layer(layer: nn.Linear, states: np.ndarray, classes: np.ndarray) -> None:
    """Sets the weights of a layer to those of a multinomial logistic regression.

    Args:
        layer: The layer, with one output a class.
        states: What it reads, `(texts, inputs)`.
        classes: The number of each text's class, `(texts,)`; every class has a text.
    """
    # The strength suits states of about length 1. One scale for all keeps the layer linear.
    scale = float(np.linalg.norm(states, axis=1).mean()) or 1.0
    weight, bias = logistic_regression(states / scale, classes, with_bias=layer.bias is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight / scale))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))


def logistic_regression(
    states: np.ndarray, classes: np.ndarray, *, with_bias: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Fits a multinomial logistic regression.

    Args:
        states: Points of about length 1, `(texts, inputs)`.
        classes: The number of each text's class, `(texts,)`; every class has a text.
        with_bias: Whether there is a bias; else it is 0.

    Returns:
        The weights, `(classes, inputs)`, and the bias of each class, `(classes,)`.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    head = LogisticRegression(C=STRENGTH, max_iter=1000, fit_intercept=with_bias)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        head.fit(states, classes)
    weight, bias = head.coef_, head.intercept_ + np.zeros(len(head.coef_))
    if len(weight) == 1:  # For two classes, scikit-learn gives one row: the second's.
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias
