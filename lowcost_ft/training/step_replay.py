"""Rehearses the costliest step before training, to measure its memory on a CPU."""

import gc
from collections.abc import Callable, Iterator
from functools import partial

import torch

from lowcost_ft.memory.measure import cpu_step_peak_bytes
from lowcost_ft.models.quantization import scale_tensors
from lowcost_ft.training.extensions.composition import REHEARSED_STEPS
from lowcost_ft.training.random_state import set_torch_states, torch_states
from lowcost_ft.training.step_plan import PlannedStep, costliest_steps
from lowcost_ft.training.steps import StepRunner

__all__ = ["rehearse"]


def rehearse(
    runner: StepRunner,
    steps: Iterator[PlannedStep],
    make_optimizer: Callable[[], torch.optim.Optimizer],
) -> int:
    """Measures the peak memory of the costliest of `steps` on the CPU, in bytes.

    The step runs once before it is measured, since that creates the optimizer's state. Weights and
    random states are put back, so that training starts as if nothing had happened; the caller must
    let the extensions begin again.
    """
    costly = costliest_steps(steps)
    runner.extensions.begin(REHEARSED_STEPS)
    weights = [p.detach().clone() for p in runner.trainable]
    random = torch_states()
    optimizer = make_optimizer()
    # Creates the optimizer's state, and shrinks the budget where it must.
    costly = [runner.step(optimizer, step).step for step in costly]
    state = [t for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t)]
    alive = [*runner.model.parameters(), *runner.model.buffers(), *state]
    alive += scale_tensors(runner.model)
    alive += runner.extensions.resident()
    if runner.cached:  # Out of the model, but not out of this machine's memory.
        alive += runner.cached.resident()
    runs = [partial(runner.step, optimizer, step) for step in costly]
    gc.collect()  # What an earlier model left in circles, freed meanwhile, would be taken off.
    peak = max(cpu_step_peak_bytes(run, alive) for run in runs)
    with torch.no_grad():
        for parameter, weight in zip(runner.trainable, weights, strict=True):
            parameter.copy_(weight)
    set_torch_states(random)
    return peak
