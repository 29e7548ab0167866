"""Runs optimizer steps: their micro-batches, their gradient and the update of the weights."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from lowcost_ft.config.settings import TrainingConfig
from lowcost_ft.data.batching import padded_tokens
from lowcost_ft.data.features import Features
from lowcost_ft.frozen.cache import CachedStates
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.bad_examples import bad_rows
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.finite_check import FiniteCheck, step_if_finite
from lowcost_ft.training.gradient_sums import add_up
from lowcost_ft.training.passes import Passes
from lowcost_ft.training.random_state import set_torch_states, torch_states
from lowcost_ft.training.recovery import (
    MicroBatchBudget,
    MicroBatchMemoryError,
    agree,
    free_memory,
    no_room,
)
from lowcost_ft.training.sharding import whole_tensor
from lowcost_ft.training.step_plan import PlannedStep, cut_planned

__all__ = ["StepOutcome", "StepRunner"]

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    """The outcome of an optimizer step.

    Attributes:
        loss: Its mean loss over all processes, `()`, on the device.
        step: The step as it was cut in the end.
        overflowed: Whether it was skipped because float16 could not hold its gradient.
        bad_examples: Names of the examples whose loss or gradient was infinite or NaN, so that the
            step was skipped. None if it was not, or if that is not known yet.
    """

    loss: torch.Tensor
    step: PlannedStep
    overflowed: bool = False
    bad_examples: list[str] | None = None


class StepRunner(Passes):
    """Runs optimizer steps of one model on one data set.

    The gradient of a step is that of `sum of losses / sum of weights` over all of its
    micro-batches and processes, however it is cut. Each process adds up its share; then the
    processes add up theirs, once a step. A process that runs out of memory therefore never leaves
    the others waiting inside a backward pass: they learn of it first, and all repeat the step.

    Attributes:
        reads_later: Whether a step returns before it is known if its numbers were finite, so that
            the next step begins meanwhile. In any case, weights change only if they were.
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
        budget: MicroBatchBudget | None = None,
        cached: CachedStates | None = None,
        states_on_device: bool = False,
        example_name: Callable[[int], str] = str,
        for_cpu: bool | None = None,
        extensions: Extensions | None = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            max_grad_norm: Norm that gradients are clipped to; 0: no clipping.
            budget: How large micro-batches may be when a step must be cut again.
            example_name: Names an example, given its number, for messages.

        The other arguments are those of `Passes`.
        """
        super().__init__(
            accelerator,
            model,
            task,
            features,
            pad_token_id=pad_token_id,
            cached=cached,
            states_on_device=states_on_device,
            for_cpu=for_cpu,
            extensions=extensions,
            seed=seed,
        )
        self.max_grad_norm = max_grad_norm
        self.budget = budget or MicroBatchBudget.of(TrainingConfig())
        self.example_name = example_name
        self.reads_later = False
        self._unread: tuple[FiniteCheck, StepOutcome] | None = None
        self._late: list[StepOutcome] = []
        self.trainable = [p for p in model.parameters() if p.requires_grad]

    def step(self, optimizer: torch.optim.Optimizer, step: PlannedStep) -> StepOutcome:
        """Runs one optimizer step, again in smaller micro-batches if memory runs out.

        A step whose loss or gradient is infinite or NaN changes no weight. With `reads_later` the
        outcome does not say so yet: see `late_outcomes`.

        Args:
            optimizer: The optimizer of the trainable weights.
            step: The step as it was planned.

        Raises:
            NoRoomError: A single example does not fit into memory; raised in every process.
        """
        self.features = step.features
        loss, step = self._gradient(optimizer, step)
        self.settle()  # The step before is judged while the weights are those that it left.
        if self.reads_later:
            outcome = StepOutcome(loss=loss, step=step)
            self._unread = (self._update_unread(optimizer, loss), outcome)
            return outcome
        if self.update(optimizer, loss, step.number):
            return StepOutcome(loss=loss, step=step)
        # Only float16 overflowed: the scaler scales the next steps down.
        scaler = self.accelerator.scaler
        if scaler is not None and torch.isfinite(loss) and scaler.get_scale() >= 1:
            return StepOutcome(loss=loss, step=step, overflowed=True)
        return StepOutcome(loss=loss, step=step, bad_examples=self._bad_examples(step))

    def gradient(self, optimizer: torch.optim.Optimizer, step: PlannedStep) -> None:
        """Computes the gradient of a step in place, as `step` would, and changes no weight."""
        self.features = step.features
        self._gradient(optimizer, step)

    def settle(self) -> None:
        """Waits until it is known whether the numbers of the last step were finite."""
        if self._unread is None:
            return
        (check, outcome), self._unread = self._unread, None
        if check.read():
            return
        features, self.features = self.features, outcome.step.features
        self._late.append(replace(outcome, bad_examples=self._bad_examples(outcome.step)))
        self.features = features

    def late_outcomes(self) -> list[StepOutcome]:
        """Steps that were found bad after they had returned; each is returned once."""
        late, self._late = self._late, []
        return late

    def _clipped_norm(self) -> torch.Tensor:
        """Clips the gradient and returns its norm before that, `()`."""
        # Without a limit nothing is clipped, but the norm is computed.
        limit = self.max_grad_norm or math.inf
        return whole_tensor(self.accelerator.clip_grad_norm_(self.trainable, limit))

    def _update_unread(self, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> FiniteCheck:
        """Does what `update` does, but lets the device decide whether the numbers are finite."""
        check = FiniteCheck(self._clipped_norm() + loss)
        step_if_finite(optimizer, check)
        optimizer.zero_grad(set_to_none=True)
        return check

    def update(self, optimizer: torch.optim.Optimizer, loss: torch.Tensor, number: int = 1) -> bool:
        """Clips the gradient and updates the weights, if loss and gradient are finite.

        Args:
            optimizer: The optimizer of the trainable weights.
            loss: The mean loss of the step, `()`.
            number: Number of the step, from 1.

        Returns:
            Whether they are finite.
        """
        norm = self._clipped_norm()
        # A simulated step, on the meta device, has no numbers.
        sound = loss.is_meta or bool(torch.isfinite(norm + loss))
        if sound or self.accelerator.scaler is not None:  # The scaler itself skips what overflowed.
            optimizer.step()
        if sound:
            self.extensions.after_update(number)
        optimizer.zero_grad(set_to_none=True)
        return sound

    def recut(self, step: PlannedStep) -> PlannedStep:
        """The same step under the budget as it is now."""
        return cut_planned(step, self.budget, self.accelerator.num_processes)

    def _gradient(
        self, optimizer: torch.optim.Optimizer, step: PlannedStep
    ) -> tuple[torch.Tensor, PlannedStep]:
        """Computes the gradient in place; returns the mean loss, `()`, and how the step was cut."""
        random = torch_states()
        while True:
            loss, failed_tokens, too_long = torch.zeros(()), 0, -1
            try:
                share = step.micro_batches[self.accelerator.process_index]
                loss = self.backward(share, step.weight, number=step.number)
            except MicroBatchMemoryError as error:
                if self.sharded:  # Others wait for this process's part of the weights.
                    raise
                failed_tokens = padded_tokens([error.rows], self.features.widths)
                if len(error.rows) == 1:
                    too_long = int(error.rows[0])
            # Out here the exception is gone, and with it the tensors that it held.
            failed_tokens, too_long = agree(self.accelerator, failed_tokens, too_long)
            if not failed_tokens:
                return self.complete(loss), step
            optimizer.zero_grad(set_to_none=True)
            if self.cached is not self._on_host:  # What only saves time is given up first.
                self._give_states_back(failed_tokens, step.number)
                set_torch_states(random)
                continue
            free_memory()
            if too_long >= 0:
                members = self.features.read_examples(int(self.features.examples[too_long]))
                example = " and ".join(map(self.example_name, members))
                raise no_room(example, int(self.features.widths[too_long]))
            budget = self.budget.shrink(failed_tokens, step=step.number)
            if self.accelerator.is_main_process:
                print(
                    f"note: out of memory in step {step.number:,}: repeating it with {budget}",
                    file=sys.stderr,
                )
            step = self.recut(step)
            set_torch_states(random)

    def _give_states_back(self, failed_tokens: int, number: int) -> None:
        """Frees the device's copy of the cached states, after memory ran out in a step."""
        self.cached = self._on_host
        free_memory()
        noted = {"optimizer_step": number, "failed_tokens": failed_tokens, "states": "host"}
        self.budget.recoveries.append(noted)
        if self.accelerator.is_main_process:
            print(
                f"note: out of memory in step {number:,}: repeating it without the copy of the "
                "frozen layers' states on the GPU",
                file=sys.stderr,
            )

    def complete(self, loss: torch.Tensor) -> torch.Tensor:
        """Adds up loss and gradient over the processes, and adds the extensions' penalties."""
        if not self.sharded:
            add_up(self.accelerator, self.trainable, loss)
        elif self.accelerator.num_processes > 1:
            # FSDP has added up the gradients, but not the losses.
            loss = self.accelerator.reduce(loss, reduction="sum")
        # Penalties count once a step, however it is cut, and are the same in every process.
        for penalty in self.extensions.penalties():
            self.accelerator.backward(penalty)
        return loss

    def _bad_examples(self, step: PlannedStep) -> list[str]:
        """Names of the examples whose own loss is not finite, or of all if there is none."""
        # A sharded model would have to run equally often in every process.
        share = [] if self.sharded else step.micro_batches[self.accelerator.process_index]
        bad = bad_rows(self.loss, share, num_processes=self.accelerator.num_processes)
        examples = np.unique(self.features.examples[bad or step.rows])
        members = (m for example in examples for m in self.features.read_examples(int(example)))
        return [self.example_name(member) for member in members]
