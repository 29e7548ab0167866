"""Forward and backward passes of micro-batches, which add up to a step's gradient."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from lowcost_ft.data.batching import MicroBatch
from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.errors import is_out_of_memory
from lowcost_ft.frozen.cache import CachedStates
from lowcost_ft.models.attention_masks import has_padding, known_padding, masks_as_numbers
from lowcost_ft.models.cpu_dropout import lean_functions, make_dropout_lean
from lowcost_ft.models.freezing import run_frozen_once
from lowcost_ft.models.joined_lora import JoinedLora
from lowcost_ft.models.mask_bits import masks_by_row
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.recovery import MicroBatchMemoryError, made_by_all
from lowcost_ft.training.sharding import is_sharded

__all__ = ["Passes"]

Batch = dict[str, torch.Tensor]


class Passes:
    """Runs micro-batches of one data set through one model, and adds up their gradients."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        task: Task,
        features: Features,
        *,
        pad_token_id: int,
        cached: CachedStates | None = None,
        states_on_device: bool = False,
        for_cpu: bool | None = None,
        extensions: Extensions | None = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            accelerator: Processes, device and precision.
            model: The model, prepared by Accelerate or not.
            task: The task, which has the loss.
            features: The data.
            pad_token_id: Token that fills up a micro-batch.
            cached: Output of the frozen layers for `features`, which then do not run.
            states_on_device: Whether to keep a copy of that output on the device, until memory runs
                out.
            for_cpu: Whether passes run in the way that is fastest on a CPU (`cpu_dropout.py`) or on
                a GPU (`joined_lora.py`, `masks_as_numbers`); None: as the device is.
            extensions: What training tricks do in each step.
            seed: Seed of the dropout masks on a CPU.
        """
        if for_cpu is None:
            for_cpu = accelerator.device.type == "cpu"
        if for_cpu:
            make_dropout_lean(model)
        self._attention = lean_functions if for_cpu else masks_as_numbers
        seeded = None if accelerator.device.type == "meta" else seed
        self._masks_by_row = partial(masks_by_row, seed=seeded) if for_cpu else _drawn_in_turn
        self.accelerator = accelerator
        self.model = model
        self.task = task
        self.features = features
        self.pad_token_id = pad_token_id
        self._on_host = cached
        self.cached = cached
        if cached is not None and states_on_device:
            self.cached = made_by_all(accelerator, cached.on_device) or cached
        self.extensions = extensions or Extensions()
        # The cache knows the texts of `features` only.
        assert cached is None or not self.extensions.changes_inputs
        self.sharded = is_sharded(accelerator)
        # LoRA layers cannot be joined where FSDP splits their matrices.
        alone = for_cpu or self.sharded
        self._adapters_cast = nullcontext if alone else JoinedLora(model).cast

    def loss(self, rows: MicroBatch, batch: Batch | None = None) -> torch.Tensor:
        """Computes the summed loss of some rows, `()`, or of the batch that was made of them."""
        batch = self.batch(rows) if batch is None else batch
        forward = self.extensions.forward(partial(self._outputs, rows))
        return self.extensions.loss(self.task.loss, forward)(forward(batch), batch)

    def batch(self, rows: MicroBatch) -> Batch:
        """Makes the tensors of some rows, on the device, as the extensions change them."""
        return self.extensions.batch(self._collated(rows), rows, self.features)

    def _collated(self, rows: MicroBatch) -> Batch:
        device = self.accelerator.device
        batch = collate(
            self.features, rows, pad_token_id=self.pad_token_id, pin_memory=device.type == "cuda"
        )
        return {name: value.to(device, non_blocking=True) for name, value in batch.items()}

    def _outputs(self, rows: MicroBatch, batch: Batch) -> torch.Tensor:
        """The model's outputs for a batch of these rows, in float32."""
        # A dot in a name marks a tensor that an extension keeps for its own loss.
        inputs = {
            name: value
            for name, value in model_inputs(batch, self.features).items()
            if "." not in name
        }
        if self.features.apart:
            return self._outputs_in_parts(rows, inputs)
        entering = self.cached.entering(rows, self.features) if self.cached else nullcontext()
        masks = known_padding(self.task.has_padding(self.features, rows))
        with masks, entering, self.accelerator.autocast():
            return self.task.forward(self.model, inputs)

    def _outputs_in_parts(self, rows: MicroBatch, inputs: Batch) -> torch.Tensor:
        """The same, for lines of like length at a time; what hooks see comes in this order."""
        lengths = self.features.lines(rows)[1]
        parts = self.features.passes(rows)
        found = []
        for part in parts:
            lines = torch.from_numpy(part)
            own = {name: value[lines, : int(lengths[part].max())] for name, value in inputs.items()}
            with known_padding(has_padding(lengths[part])), self.accelerator.autocast():
                found.append(self.task.forward(self.model, own))
        back = torch.from_numpy(np.argsort(np.concatenate(parts)))
        return torch.cat(found)[back]

    def evaluate(self, features: Features, rows: MicroBatch) -> tuple[torch.Tensor, Batch]:
        """Runs the model on some rows, in evaluation mode and without gradients.

        Args:
            features: The data; later passes use it as well.
            rows: Rows of the data.

        Returns:
            The outputs, and the micro-batch on the device.
        """
        self.features = features
        self.model.eval()
        with torch.no_grad():
            batch = self._collated(rows)
            return self._outputs(rows, batch), batch

    def backward(
        self, micro_batches: list[MicroBatch], total_weight: float, *, number: int = 0
    ) -> torch.Tensor:
        """Accumulates this process's part of a step's gradient.

        Args:
            micro_batches: This process's share of the step.
            total_weight: Summed weights of the whole step, over all processes.
            number: Number of the step: on a CPU, it and the row decide what dropout takes out.

        Returns:
            This process's part of the step's mean loss, `()`, on the device.

        Raises:
            MicroBatchMemoryError: A micro-batch did not fit.
        """
        step_loss = torch.zeros((), device=self.accelerator.device)
        for position, rows in enumerate(micro_batches):
            # A process without rows runs one row with weight zero, so that it has gradients too.
            present = rows if len(rows) else np.zeros(1, np.int64)
            once = partial(
                self._pass,
                rows=present,
                scale=None if len(rows) else 0.0,
                total_weight=total_weight,
                last=position == len(micro_batches) - 1,
            )
            try:
                masks = self._masks_by_row(self.features.line_numbers(present), step=number)
                with self._attention(), masks, self._frozen_once():
                    if self.extensions.around_backward:
                        step_loss += self.extensions.backward(once)(self.batch(present))
                    else:
                        step_loss += once(None)
            except (RuntimeError, MemoryError) as error:
                if is_out_of_memory(error):
                    raise MicroBatchMemoryError(present, error) from error
                raise
        return step_loss

    def _frozen_once(self) -> AbstractContextManager[None]:
        """Inside the block, several passes of one micro-batch run the frozen layers only once."""
        if self.cached is None and self.extensions.repeats:
            return run_frozen_once(self.model)
        return nullcontext()

    def _pass(
        self,
        batch: Batch | None,
        *,
        rows: MicroBatch,
        scale: float | None,
        total_weight: float,
        last: bool,
    ) -> torch.Tensor:
        """Runs both passes of a micro-batch; returns its part of the step's mean loss, `()`."""
        with self._adapters_cast():
            loss = (self.loss(rows) if batch is None else self.loss(rows, batch)) / total_weight
            loss = loss if scale is None else loss * scale
            if not self.sharded:
                self.accelerator.backward(loss)
            else:
                self._sharded_backward(loss, last=last)
        return loss.detach()

    def _sharded_backward(self, loss: torch.Tensor, *, last: bool) -> None:
        """Runs the backward pass of a model that FSDP splits.

        FSDP averages gradients over the processes in the last backward pass. A sum is wanted, so
        the loss is multiplied by their number.
        """
        with nullcontext() if last else self.accelerator.no_sync(self.model):
            self.accelerator.backward(loss * self.accelerator.num_processes)


def _drawn_in_turn(lines: np.ndarray, *, step: int) -> AbstractContextManager[None]:
    """Dropout as PyTorch draws it."""
    return nullcontext()
