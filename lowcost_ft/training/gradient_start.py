"""Where LoRA begins: at the directions in which the gradient of its first steps is largest."""

import sys
from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from accelerate.utils import broadcast
from tqdm.auto import tqdm

from lowcost_ft.errors import UserError
from lowcost_ft.screen import say
from lowcost_ft.training.random_state import set_torch_states, torch_states
from lowcost_ft.training.step_plan import PlannedStep
from lowcost_ft.training.steps import StepRunner

__all__ = ["GRADIENT_STEPS", "start_from_gradient"]

GRADIENT_STEPS = 8
"""Optimizer steps whose gradient is added up; fewer where a run has fewer."""
_CLEAR = 1e-2
"""Least share of a column that the columns before it must leave over, to count as a direction."""
_NUDGE = 1e-2
"""Length of the columns of B while the gradient of A is asked for: the model hardly changes."""


def start_from_gradient(
    runner: StepRunner,
    optimizer: torch.optim.Optimizer,
    steps: Iterator[PlannedStep],
    total_steps: int,
) -> None:
    """Turns the rows of each A to the inputs on which the gradient of the weight depends most.

    B stays zero, so that the model answers as before. With a random A, the first updates of a layer
    reach a random part of its gradient, of r in some hundred directions. The gradient G of the
    frozen weight is never computed: that of B is G A^T, whose columns span about the largest left
    singular vectors of G; with those in B, the gradient of A is B^T G, whose rows span the right
    ones. That is a randomized singular value decomposition. The rows of A keep their mean length,
    and the random states are put back.

    Args:
        runner: Runs the steps; A and B of its model require gradients, and each B is zero.
        optimizer: Of the trainable weights. It makes no update.
        steps: The run's steps from its first one on.
        total_steps: How many the run has.

    Raises:
        UserError: The gradient is not finite in any of the steps.

    Source:
        Wang, Yu and Li (2024), LoRA-GA, who set A and B from the gradient's singular vectors and
        take their product off the weight; and Halko, Martinsson and Tropp (2011) for the
        decomposition.
    """
    named = dict(runner.model.named_parameters())
    pairs = [
        (one, named[name.replace("lora_A", "lora_B")])
        for name, one in named.items()
        if "lora_A" in name and one.requires_grad
    ]
    chosen = list(islice(steps, GRADIENT_STEPS))
    if main := runner.accelerator.is_main_process:
        say(f"lora: A is set from the gradient of {len(chosen)} steps, which run twice")
    random = torch_states()
    runner.extensions.begin(total_steps)
    hidden = None if main else True
    bar = tqdm(total=2 * len(chosen), unit="step", file=sys.stderr, disable=hidden, leave=False)
    gradients = _summed(runner, optimizer, chosen, [b for _, b in pairs], bar)
    with torch.no_grad():
        for (_, b), gradient in zip(pairs, gradients, strict=True):
            basis = _clear_directions(gradient)[0]
            b[:, : basis.shape[1]] = _NUDGE * basis
    gradients = _summed(runner, optimizer, chosen, [a for a, _ in pairs], bar)
    bar.close()
    with torch.no_grad():
        for (a, b), gradient in zip(pairs, gradients, strict=True):
            columns, places = _clear_directions(gradient.T)
            a[places] = a.norm(dim=1).mean() * columns.T
            broadcast(a.data)  # Processes on other hardware may round otherwise.
            b.zero_()
    set_torch_states(random)


def _clear_directions(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """An orthonormal basis of the columns that the others before them do not nearly hold already.

    What is left of such a column is rounding, which other hardware would round otherwise.

    Returns:
        The basis, one column each, and the columns' places in the matrix.
    """
    left = torch.linalg.qr(matrix)[1].diagonal().abs()
    places = (left > _CLEAR * matrix[:, : len(left)].norm(dim=0)).nonzero()[:, 0]
    return torch.linalg.qr(matrix[:, places])[0], places


def _summed(
    runner: StepRunner,
    optimizer: torch.optim.Optimizer,
    steps: Sequence[PlannedStep],
    parameters: Sequence[torch.nn.Parameter],
    bar: tqdm,
) -> list[torch.Tensor]:
    """The gradients of some weights over all steps, those left out that are not finite."""
    sums = [torch.zeros_like(one, dtype=torch.float32) for one in parameters]
    finite = 0
    for step in steps:
        runner.gradient(optimizer, step)
        gradients = [one.grad for one in parameters]
        optimizer.zero_grad(set_to_none=True)
        bar.update()
        if all(one is None or bool(one.isfinite().all()) for one in gradients):
            finite += 1
            for total, one in zip(sums, gradients, strict=True):
                if one is not None:
                    total += one
    if not finite:
        raise UserError(
            f"--lora-start gradient: the gradient is not finite in any of the first {len(steps)} "
            "steps; leave the flag out, which shows the rows, or use --mixed-precision no"
        )
    return sums
