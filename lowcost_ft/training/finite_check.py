"""Whether the numbers of a step are finite: the device knows at once, the host when it asks."""

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
    """Whether a number is finite, which the device keeps to itself until the host asks.

    Attributes:
        found_inf: 1 where it is not, else 0; float32, `()`, on the device. The name is that of
            `torch.amp.GradScaler`, whose optimizers take it.
    """

    def __init__(self, number: torch.Tensor) -> None:
        self.found_inf = (~torch.isfinite(number)).float()
        self._arriving = Arriving(self.found_inf)

    def read(self) -> bool:
        """Whether the number is finite; waits until that is known."""
        return not self._arriving.read()


def may_read_later(accelerator: Accelerator, optimizer: Any, extensions: Extensions) -> bool:
    """Whether a step may go by before the host knows if its numbers were finite.

    The optimizer must leave a bad step out by itself, as PyTorch's fused AdamW does, and nothing
    else must depend on whether it did. The scaler of float16 reads the number anyhow.

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
    """One step of an optimizer that `may_read_later` has approved; none where the check fails.

    Then weights, moments and the count of steps stay as they were (`torch.optim.adam._fused_adam`).
    """
    plain = getattr(optimizer, "optimizer", optimizer)  # Without Accelerate's wrapper.
    plain.found_inf = check.found_inf
    try:
        optimizer.step()
    finally:
        del plain.found_inf
