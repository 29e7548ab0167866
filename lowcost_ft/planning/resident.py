"""What is in memory from step to step: weights by part, and the state that a first step makes."""

from collections.abc import Sequence
from typing import Any

import torch

from lowcost_ft.models.loading import BuiltModel
from lowcost_ft.training.extensions.composition import REHEARSED_STEPS, Extensions

__all__ = ["extension_state", "make_optimizer_state", "weights_by_part"]


_SMALLEST_PAGED = 100_000
"""Numbers of a parameter whose state bitsandbytes pages (`Optimizer8bit.get_state_buffer`)."""


def weights_by_part(built: BuiltModel, model: Any) -> dict[str, list[torch.Tensor]]:
    """Weights and buffers of the model by what they are for."""
    parts: dict[str, list[torch.Tensor]] = {"weights": [], "adapter": [], "head": []}
    for name, parameter in model.named_parameters():
        if any(name.startswith(f"{head}.") for head in built.head_names):
            parts["head"].append(parameter)
        elif parameter.requires_grad and built.model is not model:
            parts["adapter"].append(parameter)
        else:
            parts["weights"].append(parameter)
    parts["weights"] += list(model.buffers())
    return parts


def make_optimizer_state(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Gives the optimizer the state that its first step would make.

    The fused AdamW refuses to make it on the meta device, though its kernel runs there; a paged
    one asks the driver for it.

    Returns:
        What of it is paged: memory of the host and the GPU, wherever there is room.
    """
    is_paged = getattr(optimizer, "is_paged", False)
    if is_paged:
        optimizer.is_paged = False  # type: ignore[attr-defined]
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if isinstance(optimizer, torch.optim.AdamW):
                optimizer.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32, device="meta"),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
            else:
                parameter.grad = torch.zeros_like(parameter)
    if not optimizer.state:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if not is_paged:
        return []
    return [
        state[name]
        for parameter, state in optimizer.state.items()
        for name in ("state1", "state2")
        if parameter.numel() >= _SMALLEST_PAGED
    ]


def extension_state(
    extensions: Extensions, trained: Sequence[torch.nn.Parameter]
) -> list[torch.Tensor]:
    """Gives the extensions the state that the first step would make; returns its tensors."""
    extensions.begin(REHEARSED_STEPS)
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    extensions.after_update(1)
    for parameter in trained:
        parameter.grad = None
    return extensions.resident()
