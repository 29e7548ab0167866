"""Finds the rows of a step whose loss is infinite or NaN."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from accelerate.utils import gather_object

from lowcost_ft.data.batching import MicroBatch
from lowcost_ft.training.random_state import set_torch_states, torch_states

__all__ = ["bad_rows"]


def bad_rows(
    loss: Callable[[MicroBatch], torch.Tensor],
    micro_batches: Sequence[MicroBatch],
    *,
    num_processes: int,
) -> list[int]:
    """Finds the rows, of all processes, whose own loss is not finite.

    Args:
        loss: Computes the summed loss of some rows, `()`.
        micro_batches: This process's share of the step.
        num_processes: How many processes train together; all of them must call this.
    """
    random = torch_states()
    bad = []
    with torch.no_grad():
        for rows in micro_batches:
            bad += [int(row) for row in rows if not loss(np.array([row])).isfinite()]
    set_torch_states(random)
    return sorted(gather_object(bad)) if num_processes > 1 else bad
