"""Optimizer, learning rates and schedule."""

from collections.abc import Iterable

import bitsandbytes
import torch
from torch import nn
from transformers import get_scheduler
from transformers.optimization import Adafactor

from lowcost_ft.config.methods import find_method
from lowcost_ft.errors import UserError

__all__ = ["build_optimizer", "build_scheduler", "choose_optimizer", "default_head_learning_rate"]
__all__ += ["default_learning_rate", "parameter_groups"]

_HIDDEN_HEAD_RATE = 1e-3
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]],
    *,
    head_names: tuple[str, ...],
    learning_rate: float,
    head_learning_rate: float | None,
    weight_decay: float,
) -> list[dict]:
    """Groups the trainable parameters by learning rate (head or not) and weight decay.

    Vectors (biases, norm weights, magnitudes of peft's adapters) have no weight decay.

    Args:
        parameters: Names and parameters; frozen ones are left out.
        head_names: Paths of the modules of the head, which get `head_learning_rate`.
        learning_rate: Peak learning rate of all other parameters.
        head_learning_rate: Peak learning rate of the head; None: the same.
        weight_decay: Weight decay of matrices.

    Returns:
        Groups with `params`, `lr` and `weight_decay`, empty ones left out.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters:
        if not parameter.requires_grad:
            continue
        in_head = any(f".{head}." in f".{name}" for head in head_names)
        rate = head_learning_rate if in_head and head_learning_rate else learning_rate
        decay = weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": params, "lr": rate, "weight_decay": decay}
        for (rate, decay), params in groups.items()
    ]


def choose_optimizer(name: str, *, device: torch.device, quantized: bool) -> str:
    """Replaces `auto` by the name of an optimizer, and refuses one that cannot run here.

    Args:
        name: The optimizer that the user named, or `auto`.
        device: The device of the weights.
        quantized: Whether the frozen weights are quantized.

    Raises:
        UserError: A paged optimizer is asked for without a CUDA GPU.
    """
    if name == "auto":
        return "paged_adamw8bit" if quantized and device.type == "cuda" else "adamw"
    if name == "paged_adamw8bit" and device.type != "cuda":
        raise UserError(
            "--optimizer paged_adamw8bit moves its state between a GPU and its host, and there is "
            "no CUDA GPU: use adamw8bit or auto"
        )
    return name


def build_optimizer(
    groups: list[dict], *, name: str, device: torch.device
) -> torch.optim.Optimizer:
    """Makes the optimizer of a run.

    Args:
        groups: The parameter groups, from `parameter_groups`.
        name: The optimizer, from `choose_optimizer`. `adamw` is fused if the device has the kernel;
            `sgd` has Nesterov momentum 0.9; `adafactor` takes the learning rate as it is given; the
            two 8-bit optimizers keep the state of small tensors in 32 bits.
        device: The device of the parameters.
    """
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True)
    if name == "adafactor":
        return Adafactor(groups, scale_parameter=False, relative_step=False, warmup_init=False)
    if name == "adamw8bit":
        return bitsandbytes.optim.AdamW8bit(groups)
    if name == "paged_adamw8bit":
        return bitsandbytes.optim.PagedAdamW8bit(groups)
    return torch.optim.AdamW(groups, fused=device.type in ("cpu", "cuda"))


def build_scheduler(
    optimizer: torch.optim.Optimizer, *, name: str, warmup_ratio: float, total_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Makes the schedule of the learning rate.

    Args:
        optimizer: The optimizer.
        name: What follows the warm-up: `linear` or `cosine`, which both fall to zero, or
            `constant`.
        warmup_ratio: Share of the steps in which the rate rises from zero.
        total_steps: Optimizer steps of the run.
    """
    return get_scheduler(
        SCHEDULES[name],
        optimizer,
        num_warmup_steps=round(warmup_ratio * total_steps),
        num_training_steps=total_steps,
    )


_TRANSLATION_FALL = 1.2
"""Power of the width by which the rate of a decoder that learns to translate falls: it leads from
the rate that was best for SmolLM2, 576 wide, to 3e-4 at 4,096, which is what Schulman et al. ("LoRA
Without Regret", 2025) found for Llama's shapes."""


def default_learning_rate(
    method: str,
    hidden_size: int,
    *,
    post_norm: bool,
    sequence_level: bool,
    decoder_translates: bool = False,
) -> float:
    """The peak learning rate if the user gives none.

    Wider models take smaller steps: the rate falls with the square root of the width, and faster
    where a decoder learns to translate. The values were chosen on validation data
    (`docs/defaults.md`).

    Args:
        method: How the model is trained; a method that is not in the table counts as LoRA.
        hidden_size: Width of the model.
        post_norm: Whether the norms of the model follow its sums (`Family.post_norm`).
        sequence_level: Whether the model answers once for each text (`Task.sequence_level`).
        decoder_translates: Whether the model is a decoder that translates texts.
    """
    entry = find_method(method) or find_method("lora")
    assert entry is not None
    if decoder_translates and entry.translation_rate:
        return entry.translation_rate * min(1.0, 384 / hidden_size) ** _TRANSLATION_FALL
    rate = entry.rate
    if post_norm and sequence_level and entry.text_rate:
        rate = entry.text_rate
    return rate * ((384 / hidden_size) ** 0.5 if entry.rate_falls else 1.0)


def default_head_learning_rate(
    model: nn.Module, head_names: tuple[str, ...], learning_rate: float, *, method: str
) -> float:
    """The peak learning rate of the head if the user gives none: usually that of the rest.

    A head with a hidden layer (BERT's pooler, RoBERTa's dense layer) takes at most 1e-3, since
    methods that train few numbers, such as IA3, have rates that only an output layer bears. In full
    fine-tuning such a head takes 1e-3: it is new, and the rate of the pretrained weights is too low
    for it (`docs/defaults.md`).

    Args:
        model: The task model, with its adapter.
        head_names: Paths of the head modules.
        learning_rate: Peak learning rate of everything else.
        method: How the model is trained.
    """
    matrices = sum(
        parameter.requires_grad and parameter.ndim == 2
        for name, parameter in model.named_parameters()
        if any(f".{head}." in f".{name}" for head in head_names)
    )
    if matrices < 2:
        return learning_rate
    return _HIDDEN_HEAD_RATE if method == "full" else min(learning_rate, _HIDDEN_HEAD_RATE)
