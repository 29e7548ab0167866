"""Optimizer, learning rates and schedule."""

from collections.abc import Iterable

import torch
from torch import nn
from transformers import get_scheduler

__all__ = ["build_optimizer", "build_scheduler", "default_learning_rate", "parameter_groups"]

SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]],
    *,
    head_names: tuple[str, ...],
    learning_rate: float,
    head_learning_rate: float | None,
    weight_decay: float,
) -> list[dict]:
    """Sorts the trainable parameters by learning rate (head or not) and weight decay.

    Vectors (biases, norm weights) and a peft adapter's magnitudes have no decay.

    Args:
        parameters: Names and parameters; frozen ones are left out.
        head_names: Modules that are new; their parameters get `head_learning_rate`.

    Returns:
        Groups with `params`, `lr` and `weight_decay`, empty ones left out.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters:
        if not parameter.requires_grad:
            continue
        in_head = bool(set(name.split(".")) & set(head_names))
        rate = head_learning_rate if in_head and head_learning_rate else learning_rate
        decay = weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": params, "lr": rate, "weight_decay": decay}
        for (rate, decay), params in groups.items()
    ]


def build_optimizer(
    groups: list[dict], *, name: str, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW (fused where the device has the kernel) or SGD with Nesterov momentum 0.9."""
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, fused=device.type in ("cpu", "cuda"))


def build_scheduler(
    optimizer: torch.optim.Optimizer, *, name: str, warmup_ratio: float, total_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Warm-up from zero, then `linear`, `cosine` (both to zero) or `constant`."""
    return get_scheduler(
        SCHEDULES[name],
        optimizer,
        num_warmup_steps=round(warmup_ratio * total_steps),
        num_training_steps=total_steps,
    )


def default_learning_rate(method: str, hidden_size: int) -> float:
    """Peak learning rate where the user gives none.

    Wider models take smaller steps: the rate falls with the square root of the width. The values
    at width 384 were chosen on validation data (README).

    Args:
        method: How the model is trained.
        hidden_size: Width of the model.
    """
    at_384 = {"lora": 1e-3, "full": 1e-4}[method]
    return at_384 * (384 / hidden_size) ** 0.5
