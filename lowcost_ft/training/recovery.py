"""What a step does when memory runs out: its micro-batches get smaller, its result stays."""

import gc
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from lowcost_ft.config import TrainingConfig
from lowcost_ft.data.batching import MicroBatch, share_step

__all__ = ["MicroBatchBudget", "MicroBatchMemoryError", "agree", "free_memory"]


@dataclass(kw_only=True)
class MicroBatchBudget:
    """How steps are cut into micro-batches; it shrinks when memory runs out.

    Attributes:
        tokens: Padded tokens that a micro-batch may hold, unless `pieces` is given.
        pieces: Micro-batches that each step is cut into.
        recoveries: What became of it: for each time that memory ran out, the optimizer step and
            the budget from there on.
    """

    tokens: int
    pieces: int | None = None
    recoveries: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._asked = [self.tokens, self.pieces]

    @classmethod
    def of(cls, settings: TrainingConfig) -> "MicroBatchBudget":
        """The budget that the flags name."""
        return cls(tokens=settings.micro_batch_tokens, pieces=settings.gradient_accumulation_steps)

    def share(
        self, rows: np.ndarray, lengths: np.ndarray, *, num_processes: int
    ) -> list[list[MicroBatch]]:
        """For each process its micro-batches of a step."""
        return share_step(
            rows,
            lengths,
            num_processes=num_processes,
            micro_batch_tokens=None if self.pieces else self.tokens,
            num_micro_batches=self.pieces,
        )

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"tokens": self.tokens, "pieces": self.pieces, "asked": self._asked}

    def load(self, state: dict[str, Any], recoveries: list[dict[str, Any]]) -> None:
        """Goes on with what fitted before, unless the flags now ask for something else."""
        self.recoveries = recoveries
        if state["asked"] == self._asked:
            self.tokens, self.pieces = state["tokens"], state["pieces"]

    def shrink(self, failed_tokens: int, *, step: int) -> str:
        """Halves the budget, or at least what was tried and did not fit.

        Args:
            failed_tokens: Padded tokens of the micro-batch that did not fit.
            step: Number of the optimizer step.

        Returns:
            The new budget in words.
        """
        if self.pieces:
            self.pieces *= 2
            change, text = {"gradient_accumulation_steps": self.pieces}, "micro-batches a step"
        else:
            self.tokens = max(1, min(self.tokens, failed_tokens) // 2)
            change, text = {"micro_batch_tokens": self.tokens}, "tokens a micro-batch"
        self.recoveries.append({"optimizer_step": step, "failed_tokens": failed_tokens, **change})
        return f"{next(iter(change.values())):,} {text}"


class MicroBatchMemoryError(RuntimeError):
    """A micro-batch did not fit; the step has to be done again from its start."""

    def __init__(self, rows: MicroBatch, cause: BaseException) -> None:
        super().__init__(f"out of memory in a micro-batch of {len(rows)} rows: {cause}")
        self.rows = rows


def free_memory() -> None:
    """Gives back what a failed attempt held; to be called when its exception is gone."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def agree(accelerator: Accelerator, *numbers: int) -> list[int]:
    """The largest of each number over all processes: what one of them met concerns all."""
    if accelerator.num_processes == 1:
        return list(numbers)
    mine = torch.tensor([numbers], device=accelerator.device, dtype=torch.int64)
    return [int(number) for number in accelerator.gather(mine).amax(dim=0)]
