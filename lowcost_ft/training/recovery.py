"""What happens when memory runs out: micro-batches get smaller, and the result stays the same."""

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator

from lowcost_ft.config.settings import TrainingConfig
from lowcost_ft.data.batching import MicroBatch, cut_step, padded_tokens, share_step
from lowcost_ft.errors import NoRoomError, is_out_of_memory

__all__ = [
    "MicroBatchBudget",
    "MicroBatchMemoryError",
    "agree",
    "each_that_fits",
    "free_memory",
    "made_by_all",
    "no_room",
]

Result = TypeVar("Result")


@dataclass(kw_only=True)
class MicroBatchBudget:
    """How steps are cut into micro-batches; it shrinks when memory runs out.

    Attributes:
        tokens: Padded tokens that a micro-batch may hold, unless `pieces` is given.
        pieces: Micro-batches that each step is cut into.
        recoveries: An entry for each time that memory ran out: the optimizer step, and the budget
            from there on.
    """

    tokens: int
    pieces: int | None = None
    recoveries: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._asked = [self.tokens, self.pieces]

    @classmethod
    def of(cls, settings: TrainingConfig) -> "MicroBatchBudget":
        """The budget that the flags name."""
        return cls(
            tokens=settings.settled_micro_batch_tokens,
            pieces=settings.gradient_accumulation_steps,
        )

    def share(
        self, rows: np.ndarray, lengths: np.ndarray, *, num_processes: int
    ) -> list[list[MicroBatch]]:
        """Cuts a step: the micro-batches of each process.

        Args:
            rows: Numbers of the step's rows, `(rows,)`.
            lengths: Tokens of every row of the data.
            num_processes: How many processes train together.
        """
        return share_step(
            rows,
            lengths,
            num_processes=num_processes,
            micro_batch_tokens=None if self.pieces else self.tokens,
            num_micro_batches=self.pieces,
        )

    def state_dict(self) -> dict[str, Any]:
        """The budget as a checkpoint records it."""
        return {"tokens": self.tokens, "pieces": self.pieces, "asked": self._asked}

    def load(self, state: dict[str, Any], recoveries: list[dict[str, Any]]) -> None:
        """Takes over the budget that fitted before, unless the flags now ask for another one."""
        self.recoveries = recoveries
        if state["asked"] == self._asked:
            self.tokens, self.pieces = state["tokens"], state["pieces"]

    def shrink(self, failed_tokens: int, *, step: int) -> str:
        """Halves the budget, or the size that did not fit, if that is smaller.

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
    """A micro-batch did not fit into memory; the step must be repeated from its start."""

    def __init__(self, rows: MicroBatch, cause: BaseException) -> None:
        super().__init__(f"out of memory in a micro-batch of {len(rows)} rows: {cause}")
        self.rows = rows


def each_that_fits(
    micro_batches: Iterable[MicroBatch],
    lengths: np.ndarray,
    run: Callable[[MicroBatch], Result],
    *,
    absorb: bool,
    name: Callable[[int], str],
    recoveries: list[dict[str, Any]],
) -> Iterator[tuple[MicroBatch, Result]]:
    """Runs micro-batches that do not depend on each other, cut smaller once memory runs out.

    Args:
        micro_batches: Numbers of rows; each is taken when the one before is done.
        lengths: Tokens of every row.
        run: Runs a micro-batch.
        absorb: Whether to go on when memory runs out; if not, that stays an error.
        name: Names the example of a row, for messages.
        recoveries: Gets an entry for each time that memory runs out.

    Yields:
        Each micro-batch as it was run, and its result.

    Raises:
        NoRoomError: A single row does not fit.
    """
    limit: int | None = None
    pending: deque[MicroBatch] = deque()
    source = iter(micro_batches)
    while True:
        if not pending:
            if (taken := next(source, None)) is None:
                return
            cut = [taken] if limit is None else cut_step(taken, lengths, micro_batch_tokens=limit)
            pending.extend(cut)
            continue
        rows = pending.popleft()
        try:
            result = run(rows)
        except (RuntimeError, MemoryError) as error:
            if not absorb or not is_out_of_memory(error):
                raise
            if len(rows) < 2:
                raise no_room(name(int(rows[0])), int(lengths[rows[0]])) from error
        else:
            yield rows, result
            continue
        # Out here the exception is gone, and with it the tensors that it held.
        free_memory()
        failed = padded_tokens([rows], lengths)
        limit = failed // 2
        pieces = [cut_step(r, lengths, micro_batch_tokens=limit) for r in (rows, *pending)]
        pending = deque(piece for cut in pieces for piece in cut)
        change = {"failed_tokens": failed, "micro_batch_tokens": limit}
        recoveries.append({"during": "evaluation", **change})


def no_room(example: str, tokens: int) -> NoRoomError:
    """The error for an example that does not fit even alone."""
    return NoRoomError(
        f"out of memory: {example} alone, {tokens} tokens, does not fit. Lower --max-length, add "
        "--gradient-checkpointing, train fewer layers (--trainable-layers), or use a smaller model"
    )


def free_memory() -> None:
    """Frees what a failed attempt held; call it when its exception is gone."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def made_by_all(accelerator: Accelerator, make: Callable[[], Result]) -> Result | None:
    """Calls `make` in each process; returns None in all if memory runs out in one of them."""
    made: Result | None = None
    try:
        made = make()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if agree(accelerator, int(made is None))[0]:
        made = None
        free_memory()
    return made


def agree(accelerator: Accelerator, *numbers: int) -> list[int]:
    """The largest value of each number over all processes, so that all act on the same ones."""
    if accelerator.num_processes == 1:
        return list(numbers)
    mine = torch.tensor([numbers], device=accelerator.device, dtype=torch.int64)
    return [int(number) for number in accelerator.gather(mine).amax(dim=0)]
