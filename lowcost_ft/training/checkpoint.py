"""What a checkpoint holds, when one is due, and how training resumes from it to the same bits.

Accelerate's `save_state` would pickle optimizer and random states; here they are safetensors and
JSON, so that a checkpoint from somewhere else can do no harm.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors import SafetensorError
from torch import nn

from lowcost_ft.training.best_epoch import BestEpoch
from lowcost_ft.training.checkpoint_files import Checkpoint, prune, write_checkpoint
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.progress import TrainLog, TrainResult
from lowcost_ft.training.random_state import random_states, set_random_states
from lowcost_ft.training.recovery import MicroBatchBudget, agree
from lowcost_ft.training.sharding import is_sharded, put_back, split_like, whole_tensors

__all__ = ["Checkpoints", "TrainState"]


@dataclass(kw_only=True)
class TrainState:
    """Everything that changes while a model trains.

    Attributes:
        epoch_to_score: Number of a finished epoch that was not yet validated, from 1.
    """

    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    result: TrainResult
    budget: MicroBatchBudget
    best: BestEpoch
    log: TrainLog
    epoch_to_score: int | None = None
    extensions: Extensions = field(default_factory=Extensions)

    def score_epoch(self, metric: str, scores: dict[str, Any]) -> None:
        """Takes the validation scores of the epoch that waits for them."""
        assert self.epoch_to_score is not None
        self.log.epoch(self.epoch_to_score, metric, scores)
        self.best.update(
            self.model, float(scores[metric]), self.epoch_to_score, loss=scores.get("loss")
        )
        self.epoch_to_score = None

    def tensors(self) -> dict[str, dict[str, torch.Tensor]]:
        """The tensors of a checkpoint: file -> name -> tensor.

        They are the trainable weights, the optimizer's state by number of the parameter and name,
        and what extensions keep. Of a sharded model every process must call this, and only the
        main one gets the tensors.
        """
        named: dict[str, torch.Tensor] = {
            name: p for name, p in self.model.named_parameters() if p.requires_grad
        }
        optimizer = {
            f"{number}.{name}": value
            for number, values in self.optimizer.state_dict()["state"].items()
            for name, value in _leaves(values)
            if torch.is_tensor(value)
        }
        found: dict[str, dict[str, torch.Tensor]] = {"weights": named, "optimizer": optimizer}
        found |= self.extensions.tensors()
        if is_sharded(self.accelerator) or self.accelerator.device.type != "cpu":
            main = self.accelerator.is_main_process
            return {key: whole_tensors(t.items(), keep=main) for key, t in found.items()}
        return {key: _apart(tensors) for key, tensors in found.items()}

    def numbers(self) -> dict[str, Any]:
        """Everything else, in types that JSON has; every process must call this."""
        optimizer = self.optimizer.state_dict()
        scaler = self.accelerator.scaler
        log = self.log.state_dict()  # This comes first, since it completes the result.
        return {
            "random": gather_object([random_states()]),
            "optimizer": {
                "param_groups": optimizer["param_groups"],
                "state": {
                    str(number): {k: v for k, v in _leaves(values) if not torch.is_tensor(v)}
                    for number, values in optimizer["state"].items()
                },
            },
            "scheduler": self.scheduler.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
            "result": vars(self.result),
            "budget": self.budget.state_dict(),
            "best": self.best.state_dict(),
            "log": log,
            "epoch_to_score": self.epoch_to_score,
            "extensions": self.extensions.numbers(),
        }

    def load(self, checkpoint: Checkpoint) -> None:
        """Restores everything as it was when the checkpoint was taken."""
        saved = checkpoint.state
        put_back(self.model, checkpoint.tensors("weights"))
        state: dict[int, dict[str, Any]] = {}
        for number, values in saved["optimizer"]["state"].items():
            state[int(number)] = {}
            for path, value in values.items():
                _put(state[int(number)], path, value)
        for key, tensor in checkpoint.tensors("optimizer").items():
            number, _, path = key.partition(".")
            _put(state[int(number)], path, tensor)
        groups = saved["optimizer"]["param_groups"]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        split = {index: split_like(parameters[index], values) for index, values in state.items()}
        self.optimizer.load_state_dict({"state": split, "param_groups": groups})
        self.scheduler.load_state_dict(saved["scheduler"])
        if saved["scaler"] is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(saved["scaler"])
        peak = self.result.peak_memory_bytes
        vars(self.result).update(saved["result"])
        self.result.peak_memory_bytes = max(peak, self.result.peak_memory_bytes)
        self.budget.load(saved["budget"], self.result.recoveries)
        self.best.load(saved["best"], checkpoint.path("best"))
        self.log.load(saved["log"])
        self.epoch_to_score = saved["epoch_to_score"]
        self.extensions.load(checkpoint)
        # This comes last, since restoring may draw random numbers. A process that the checkpoint
        # does not know keeps its own state.
        if self.accelerator.process_index < len(saved["random"]):
            set_random_states(saved["random"][self.accelerator.process_index])


def _apart(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies tensors that share memory, as 8-bit states share tables, since a file cannot."""
    found: dict[str, torch.Tensor] = {}
    seen = set()
    for name, tensor in tensors.items():
        found[name] = tensor.detach().contiguous()
        place = found[name].untyped_storage().data_ptr()
        if place in seen:
            found[name] = found[name].clone()
        seen.add(place)
    return found


def _leaves(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Paths and values of an optimizer's state; an 8-bit state holds a dictionary."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _put(values: dict[str, Any], path: str, value: Any) -> None:
    """Puts a value back at its path; the reverse of `_leaves`."""
    *above, name = path.split(".")
    for part in above:
        values = values.setdefault(part, {})
    values[name] = value


@dataclass(kw_only=True)
class Checkpoints:
    """The checkpoints of a run.

    Attributes:
        folder: Where they are written.
        keep: How many of the newest checkpoints are kept.
        every_steps: Optimizer steps from one to the next; None: only time counts.
        every_minutes: Minutes from one to the next; 0: only steps count.
        identity: Written into each checkpoint; a run must have the same to resume from it.
        resume: The checkpoint to go on from.
    """

    accelerator: Accelerator
    folder: Path
    keep: int = 2
    every_steps: int | None = None
    every_minutes: float = 10.0
    identity: dict[str, Any] = field(default_factory=dict)
    resume: Checkpoint | None = None
    _when: float = field(default_factory=time.monotonic)
    _step: int | None = None

    def __post_init__(self) -> None:
        self._step = self.resume.step if self.resume else None

    @property
    def best_path(self) -> Path:
        """File that holds the best epoch's weights while training goes on."""
        return self.folder / "best.safetensors"

    def due(self, step: int) -> bool:
        """Whether a checkpoint is due after this step, by the clock of this process."""
        if self.every_steps and step % self.every_steps == 0:
            return True
        waited = time.monotonic() - self._when
        return bool(self.every_minutes) and waited >= 60 * self.every_minutes

    def save(self, state: TrainState) -> bool:
        """Writes a checkpoint, unless this step has one; every process must call this.

        Returns:
            Whether it was written. If not, the user was told why; training goes on, and earlier
            checkpoints are as they were.
        """
        step, failed = state.result.optimizer_steps, False
        if step == self._step:
            return True
        tensors, numbers = state.tensors(), state.numbers()
        if self.accelerator.is_main_process:
            copies = {"best": self.best_path} if state.best.epoch is not None else {}
            try:
                write_checkpoint(
                    self.folder,
                    step,
                    state=numbers | {"identity": self.identity},
                    tensors=tensors,
                    copies=copies,
                )
                prune(self.folder, newest=step, keep=self.keep)
            except (OSError, SafetensorError) as error:
                failed = True
                print(
                    f"warning: the checkpoint of step {step:,} could not be written: "
                    f"{error}. "
                    "Earlier ones are intact. Free some space, or the run cannot be saved at its "
                    "end",
                    file=sys.stderr,
                )
        self._when = time.monotonic()
        (failed_anywhere,) = agree(self.accelerator, int(failed))
        self._step = self._step if failed_anywhere else step
        return not failed_anywhere
