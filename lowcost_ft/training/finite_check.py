"""Checks on the device whether the numbers of a step are finite, without making the host wait."""

from typing import Any

import torch
from accelerate import Accelerator

from lowcost_ft.training.arriving import Arriving
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.sharding import is_sharded

__all__ = ["FiniteCheck", "may_read_later", "step_if_finite"]

DEVICES_THAT_WAIT = ("cuda",)
"""Where a number that the host reads makes it wait for all that it has asked for before."""


class FiniteCheck:
    """Whether a number is finite, computed on the device and read by the host later.

    Attributes:
        found_inf: 1 if it is not finite, else 0; float32, `()`, on the device. Optimizers take it
            under this name, as from `torch.amp.GradScaler`.
    """

    def __init__(self, number: torch.Tensor) -> None:
        self.found_inf = (~torch.isfinite(number)).float()
        self._arriving = Arriving(self.found_inf)

    def read(self) -> bool:
        """Waits until it is known whether the number is finite, and returns that."""
        return not self._arriving.read()


def may_read_later(accelerator: Accelerator, optimizer: Any, extensions: Extensions) -> bool:
    """Whether a step may return before the host knows if its numbers were finite.

    The optimizer must skip a bad step by itself, as PyTorch's fused AdamW does, and nothing else
    may depend on whether it did. The float16 scaler reads the number in any case.

    Args:
        accelerator: Device and precision.
        optimizer: The optimizer itself, which Accelerate may wrap.
        extensions: What training tricks do in each step.
    """
    return (
        accelerator.device.type in DEVICES_THAT_WAIT
        and accelerator.scaler is None
        and not is_sharded(accelerator)
        and not extensions.follow_updates
        and getattr(optimizer, "_step_supports_amp_scaling", False)
    )


def step_if_finite(optimizer: Any, check: FiniteCheck) -> None:
    """Runs a step of an optimizer that `may_read_later` has approved, if the check passes.

    Otherwise weights, moments and the count of steps stay as they were
    (`torch.optim.adam._fused_adam`).
    """
    plain = getattr(optimizer, "optimizer", optimizer)  # Without Accelerate's wrapper.
    plain.found_inf = check.found_inf
    try:
        optimizer.step()
    finally:
        del plain.found_inf
