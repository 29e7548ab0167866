"""One optimizer step: its share of micro-batches, its gradient, and a rehearsal of its memory."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from lowcost_ft.config import TrainingConfig
from lowcost_ft.data.batching import MicroBatch, padded_tokens, plan_epoch, share_step
from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.memory.measure import cpu_step_peak_bytes
from lowcost_ft.models.quantization import scale_tensors
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.backbone_cache import CachedStates

__all__ = ["PlannedStep", "StepRunner", "model_inputs", "planned_steps", "rehearse"]


class StepRunner:
    """Runs optimizer steps of one model on one data set.

    The gradient of a step is that of `sum of losses / sum of weights` over all of its
    micro-batches and processes, however it is cut.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        task: Task,
        features: Features,
        *,
        pad_token_id: int,
        max_grad_norm: float,
        cached: CachedStates | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.model = model
        self.task = task
        self.features = features
        self.pad_token_id = pad_token_id
        self.max_grad_norm = max_grad_norm
        self.cached = cached
        self.trainable = [p for p in model.parameters() if p.requires_grad]

    def backward(self, micro_batches: list[MicroBatch], total_weight: float) -> torch.Tensor:
        """Accumulates the gradient of one step.

        Args:
            micro_batches: This process's share of the step.
            total_weight: Summed weights of the whole step, over all processes.

        Returns:
            This process's part of the step's mean loss, `()`, on the device.
        """
        device = self.accelerator.device
        step_loss = torch.zeros((), device=device)
        for position, rows in enumerate(micro_batches):
            # Only the last backward pass exchanges gradients with the other processes.
            last = position == len(micro_batches) - 1
            sync = nullcontext() if last else self.accelerator.no_sync(self.model)
            # An empty micro-batch keeps the other processes company: any row, counted zero times.
            present = rows if len(rows) else np.zeros(1, np.int64)
            batch = collate(
                self.features,
                present,
                pad_token_id=self.pad_token_id,
                pin_memory=device.type == "cuda",
            )
            batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
            entering = self.cached.entering(present) if self.cached else nullcontext()
            with sync:
                with entering, self.accelerator.autocast():
                    logits = self.model(**model_inputs(batch)).logits
                loss = self.task.loss(logits.float(), batch) / total_weight
                loss = loss if len(rows) else loss * 0.0
                # Data parallelism averages the gradients of the processes; a sum is meant.
                self.accelerator.backward(loss * self.accelerator.num_processes)
            step_loss += loss.detach()
        return step_loss

    def step(
        self,
        optimizer: torch.optim.Optimizer,
        micro_batches: list[MicroBatch],
        total_weight: float,
    ) -> torch.Tensor:
        """One optimizer step; returns this process's part of its loss."""
        loss = self.backward(micro_batches, total_weight)
        if self.max_grad_norm:
            self.accelerator.clip_grad_norm_(self.trainable, self.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss


@dataclass(frozen=True)
class PlannedStep:
    """One optimizer step of the plan.

    Attributes:
        epoch: Number of the epoch, from 0.
        last_of_epoch: Whether an epoch ends with it.
        examples: Examples that it learns from.
        micro_batches: For each process its micro-batches.
        weight: Summed weights of all its rows: the denominator of its loss.
        real_tokens: Tokens of its rows.
        padded_tokens: The same with padding.
    """

    epoch: int
    last_of_epoch: bool
    examples: int
    micro_batches: list[list[MicroBatch]]
    weight: float
    real_tokens: int
    padded_tokens: int


def planned_steps(
    features: Features, settings: TrainingConfig, num_processes: int
) -> Iterator[PlannedStep]:
    """All optimizer steps of a run, in order: a function of data, settings and seed alone."""
    row_lengths = features.lengths
    bounds = features.example_rows
    # An example with several windows is as long as its longest one.
    example_lengths = np.maximum.reduceat(row_lengths, bounds[:-1])
    tokens = None if settings.gradient_accumulation_steps else settings.micro_batch_tokens
    taken = 0
    for epoch in range(10**9 if settings.max_steps else settings.num_train_epochs):
        steps = plan_epoch(
            example_lengths,
            batch_size=settings.batch_size,
            seed=settings.seed,
            epoch=epoch,
            group_by_length=settings.group_by_length,
        )
        for position, examples in enumerate(steps):
            rows = features.rows_of(examples)
            shares = share_step(
                rows,
                row_lengths,
                num_processes=num_processes,
                micro_batch_tokens=tokens,
                num_micro_batches=settings.gradient_accumulation_steps,
            )
            yield PlannedStep(
                epoch=epoch,
                last_of_epoch=position == len(steps) - 1,
                examples=len(examples),
                micro_batches=shares,
                weight=max(float(features.weights[rows].sum()), 1e-12),
                real_tokens=int(row_lengths[rows].sum()),
                padded_tokens=sum(padded_tokens(share, row_lengths) for share in shares),
            )
            taken += 1
            if settings.max_steps and taken == settings.max_steps:
                return


def _costliest(steps: Iterator[PlannedStep], features: Features) -> PlannedStep:
    """The step with the micro-batch that holds most padded tokens (of those, the widest)."""
    lengths = features.lengths

    def cost(step: PlannedStep) -> tuple[int, int]:
        return max(
            (len(rows) * int(lengths[rows].max()), int(lengths[rows].max()))
            for share in step.micro_batches
            for rows in share
            if len(rows)
        )

    return max(steps, key=cost)


def rehearse(
    runner: StepRunner,
    steps: Iterator[PlannedStep],
    make_optimizer: Callable[[], torch.optim.Optimizer],
) -> int:
    """Peak memory in bytes of the costliest of `steps`, on the CPU.

    Runs it twice, since the first time creates the optimizer's state, and puts weights and random
    state back: training starts as if nothing had been.
    """
    step = _costliest(steps, runner.features)
    share = step.micro_batches[runner.accelerator.process_index]
    weights = [p.detach().clone() for p in runner.trainable]
    random_state = torch.get_rng_state()
    optimizer = make_optimizer()
    runner.step(optimizer, share, step.weight)  # creates the optimizer's state
    state = [t for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t)]
    alive = [*runner.model.parameters(), *runner.model.buffers(), *state]
    alive += scale_tensors(runner.model)
    if runner.cached:  # Out of the model, but not out of this machine's memory.
        alive += runner.cached.resident()
    peak = cpu_step_peak_bytes(lambda: runner.step(optimizer, share, step.weight), alive)
    with torch.no_grad():
        for parameter, weight in zip(runner.trainable, weights, strict=True):
            parameter.copy_(weight)
    torch.set_rng_state(random_state)
    return peak
