"""A head that a checkpoint brings along: only the names of its outputs say what they mean.

Training continues its output layer if its names are those of the data; its rows are put into the
data's order. With other names, each row would begin as another label, so a new output layer is
made, as for another number of labels.
"""

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import nn

__all__ = ["fit_head", "output_path", "stored_labels"]

_SHOWN = 5


def stored_labels(config: Any) -> list[str]:
    """Names that a checkpoint's configuration gives to its outputs, in their order."""
    try:
        return [str(label) for _, label in sorted((int(n), x) for n, x in config.id2label.items())]
    except (AttributeError, TypeError, ValueError):
        return []


def fit_head(
    model: Any,
    model_id: str,
    *,
    modules: Sequence[str],
    names: Sequence[str],
    labels: Sequence[str],
    stored_problem_type: str | None,
    regression: bool,
    replaced: bool,
) -> tuple[str, set[str]]:
    """Makes the head of a checkpoint one for the data's labels.

    Args:
        model: The task model, loaded, on the CPU.
        model_id: For the notice.
        modules: Modules of the head, in the model's order.
        names: Names of the outputs in the checkpoint.
        labels: Names of the outputs in the data; for a regression they are not compared.
        stored_problem_type: What the checkpoint says of its problem, if anything.
        regression: Whether the one output is a number.
        replaced: Whether the output layer is new already, since it has another size.

    Returns:
        What the user should know, and the names of the weights that are new.
    """
    shown = ", ".join(modules)
    going_on = f"{model_id} already has a head ({shown})"
    why = f"names its labels {_listed(names)}, and the data {_listed(labels)}"
    if regression:
        why = f"is not for a number ({stored_problem_type}; {_listed(names)})"
        same = len(names) == 1 and stored_problem_type in (None, "regression")
        order: list[int] | None = [0] if same else None
    else:
        order = _order(names, labels)
    path = output_path(model, len(labels) or 1, modules=modules)
    if replaced or order is None or path is None:
        new = set() if replaced or path is None else _draw_again(model, path)
        made = f"a new one is made ({path})" if path else "a new one is made"
        return f"{model_id} has a head ({shown}) that {why}: {made}", new
    if order == sorted(order):
        return f"{going_on}: training goes on", set()
    layer = model.get_submodule(path)
    if type(layer) is not nn.Linear:  # Codes of several weights cannot change places.
        return f"{going_on} in another order, and quantized: a new one is made", _draw_again(
            model, path
        )
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(parameter[order])
    return (
        f"{going_on}, which has the labels in another order (first {_listed(names)}): its rows are "
        "put into the order of the data, and training goes on"
    ), set()


def _order(names: Sequence[str], labels: Sequence[str]) -> list[int] | None:
    """For each label the number of the row with its name; None where the names differ."""
    numbers = [re.fullmatch(r"LABEL_(\d+)", name) for name in names]
    if sorted(names) != sorted(labels) and all(numbers):
        # transformers calls outputs without names LABEL_0, LABEL_1, ...; the data may say 0, 1, ...
        names = [match[1] for match in numbers if match]
    if sorted(names) != sorted(labels) or len(set(names)) != len(names):
        return None
    places = {name: place for place, name in enumerate(names)}
    return [places[label] for label in labels]


def output_path(model: Any, outputs: int, *, modules: Sequence[str] | None = None) -> str | None:
    """Path of the linear layer that gives the logits: the last one with an output for each label.

    Heads come after the backbone and what adapters add to it; of a head that peft has copied, the
    trained copy comes last.

    Args:
        model: A task model, with or without peft's wrapper.
        outputs: Number of logits.
        modules: Paths of the modules of the head, where only they may hold it; None: any may.

    Returns:
        The path; None if no layer has so many outputs.
    """
    found = [
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module.out_features == outputs
        and (modules is None or any(f"{path}.".startswith(f"{name}.") for name in modules))
    ]
    return found[-1] if found else None


def _draw_again(model: Any, path: str) -> set[str]:
    """Replaces a linear layer by a new one, initialized as transformers does for this model."""
    old = model.get_submodule(path)
    for tensor in chain(model.parameters(), model.buffers()):
        tensor._is_hf_initialized = True  # transformers leaves these as they are.
    new = nn.Linear(old.in_features, old.out_features, bias=old.bias is not None)
    model.set_submodule(path, new)
    # Some architectures draw their head where the whole model is drawn, others layer by layer.
    parts = path.split(".")
    for depth in range(len(parts) + 1):
        model.get_submodule(".".join(parts[:depth]))._is_hf_initialized = False
    model.initialize_weights()
    new.eval()
    return {f"{path}.{name}" for name, _ in new.named_parameters()}


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
