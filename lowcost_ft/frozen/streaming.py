"""The output of frozen layers that do not fit into memory together: one layer after the other.

A layer is read, runs on every row of every data set, and is forgotten. What it returned waits on
disk for the next one, in files beside the unfinished cache that each process writes and reads for
itself, from front to back. Two generations of one data set exist at once, and one of the others.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowcost_ft.errors import UserError
from lowcost_ft.frozen.lower_part import LowerPart
from lowcost_ft.frozen.lower_states import LowerStates
from lowcost_ft.frozen.stored_states import PartialStates, clear_padding, padded_index
from lowcost_ft.frozen.streamed_part import StreamedPart, stage_bytes
from lowcost_ft.models.family import Family

__all__ = ["Generation", "StreamingCost", "fill_layer_by_layer", "run_stage"]
__all__ += ["streaming_disk_bytes", "streaming_needs"]


@dataclass(kw_only=True)
class StreamingCost:
    """What streaming took.

    Attributes:
        layers: Layers that were read one at a time, the embeddings as one more.
        weight_bytes: Bytes of weights as they are in memory, over all readings.
        largest_layer_bytes: The most that was in memory at once.
        written_bytes: Bytes of states, the finished ones included.
        read_bytes: Bytes of states.
        seconds: For all.
    """

    layers: int
    weight_bytes: int = 0
    largest_layer_bytes: int = 0
    written_bytes: int = 0
    read_bytes: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.layers} stages one at a time in {self.seconds:,.1f} s: read "
            f"{self.weight_bytes / 1e6:,.0f} MB of weights (at most "
            f"{self.largest_layer_bytes / 1e6:,.0f} MB at once), wrote "
            f"{self.written_bytes / 1e6:,.0f} MB and read {self.read_bytes / 1e6:,.0f} MB of states"
        )


def streaming_disk_bytes(finished_bytes: dict[str, int], stages: int, *, growth: float = 1) -> int:
    """The most disk that is taken at once while the states are computed.

    Args:
        finished_bytes: Size of the finished states, by the name of the data set.
        stages: How many layers they pass, the embeddings as one more.
        growth: Bytes of a number on its way, as a multiple of those of a finished one.
    """
    sizes = [size * max(1, growth) for size in finished_bytes.values()]
    return int(sum(sizes) + (max(sizes, default=0) if stages > 1 else 0))


def streaming_needs(
    model: Any,
    family: Family,
    trainable_layers: int,
    tokens: dict[str, int],
    *,
    dtype: torch.dtype = torch.float32,
    stored: torch.dtype = torch.float32,
) -> tuple[StreamingCost, int]:
    """What streaming will take, known without a weight.

    Args:
        model: A task model of transformers, whole, on the meta device.
        family: Its entry in the table.
        trainable_layers: How many of the top layers train.
        tokens: Tokens of each data set that the model will see.
        dtype: Precision of the states on their way.
        stored: Precision that they are kept in.

    Returns:
        The cost, its seconds unknown, of a run that finds no states (the weights are read once for
        the key of the cache and once for the states); and the most disk that is taken at once.
    """
    sizes = stage_bytes(LowerPart(model, family, trainable_layers), family)
    width = model.config.get_text_config().hidden_size
    kept = {name: count * width * stored.itemsize for name, count in tokens.items()}
    on_the_way = (len(sizes) - 1) * sum(tokens.values()) * width * dtype.itemsize
    cost = StreamingCost(
        layers=len(sizes),
        weight_bytes=2 * sum(sizes),
        largest_layer_bytes=max(sizes),
        written_bytes=on_the_way + sum(kept.values()),
        read_bytes=on_the_way,
    )
    growth = dtype.itemsize / stored.itemsize
    return cost, streaming_disk_bytes(kept, len(sizes), growth=growth)


def fill_layer_by_layer(
    part: StreamedPart,
    runs: dict[str, LowerStates],
    partials: dict[str, PartialStates],
    *,
    say: Callable[[str], None],
) -> StreamingCost:
    """Writes the states of several data sets, which the caller has begun and will finish.

    Args:
        part: The lower part.
        runs: Data sets, by their names.
        partials: Where their states go.
        say: Prints one line from the main process.

    Raises:
        UserError: The disk filled up, or a state is too large for its precision.
    """
    started = time.perf_counter()
    read_before = part.bytes_read
    cost = StreamingCost(layers=len(part.stages), largest_layer_bytes=part.largest_stage_bytes)
    before: dict[str, Generation | None] = dict.fromkeys(runs)
    with part.upper_waiting():
        for stage in range(len(part.stages)):
            with part.in_memory(stage):
                _fill_stage(part, stage, runs, partials, before, cost)
    cost.weight_bytes = part.bytes_read - read_before
    cost.seconds = time.perf_counter() - started
    say(f"frozen layers: {cost}")
    return cost


def _fill_stage(
    part: StreamedPart,
    stage: int,
    runs: dict[str, LowerStates],
    partials: dict[str, PartialStates],
    before: "dict[str, Generation | None]",
    cost: StreamingCost,
) -> None:
    """Runs a stage that is in memory on all data sets; their states in `before` are replaced."""
    for name, run in runs.items():
        old, partial = before[name], partials[name]
        states = run_stage(part, stage, run, old, cost)
        if stage == len(part.stages) - 1:
            partial.write(_by_row(run, states))
            cost.written_bytes += partial.num_bytes
        else:
            path = partial.path / f"layer-{stage}-{run.accelerator.process_index}.bin"
            before[name] = new = Generation(path)
            cost.written_bytes += new.write(run, states)
        if old is not None:
            old.path.unlink()


def run_stage(
    part: StreamedPart,
    stage: int,
    run: LowerStates,
    before: "Generation | None",
    cost: StreamingCost,
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Runs a stage that is in memory on this process's micro-batches.

    Args:
        part: The lower part.
        stage: Number of the stage.
        run: The data set.
        before: The states after the stage before; None for the first.
        cost: What was read is added to it.

    Yields:
        Rows, and what enters the next layer, on the CPU.
    """
    waiting = before.read(run) if before else itertools.repeat(None)
    batches = run.micro_batches(f"layer {stage + 1} of {len(part.stages)}")
    for rows, states in zip(batches, waiting, strict=False):
        if states is not None:
            cost.read_bytes += int(run.features.lengths[rows].sum()) * states[0, 0].nbytes
            states = states.to(run.accelerator.device)
        with run.accelerator.autocast():
            yield rows, part.run_stage(stage, run.inputs(rows), states).cpu()


def _by_row(
    run: LowerStates, batches: Iterator[tuple[np.ndarray, torch.Tensor]]
) -> Iterator[tuple[int, torch.Tensor]]:
    """First token and states, `(tokens, hidden)`, of each row."""
    for rows, states in batches:
        for row, of_row in zip(rows, states, strict=True):
            yield int(run.features.starts[row]), of_row[: run.features.lengths[row]]


class Generation:
    """States after one stage, `(tokens, hidden)` row by row, in the order of the micro-batches."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dtype: torch.dtype | None = None
        self.width = 0

    def write(self, run: LowerStates, batches: Iterator[tuple[np.ndarray, torch.Tensor]]) -> int:
        """Writes all micro-batches; returns the bytes."""
        lengths = run.features.lengths
        try:
            with open(self.path, "wb") as file:
                for rows, states in batches:
                    self.dtype, self.width = states.dtype, states.shape[-1]
                    for row, of_row in zip(rows, states, strict=True):
                        kept = of_row[: lengths[row]].contiguous()
                        file.write(kept.view(torch.uint8).numpy().data)
                return file.tell()
        except OSError as error:
            raise UserError(f"stream_frozen_layers: cannot write {self.path}: {error}") from error

    def read(self, run: LowerStates) -> Iterator[torch.Tensor]:
        """Each micro-batch, `(rows, longest, hidden)`, padded as `StoredStates.padded` does."""
        with open(self.path, "rb") as file:
            for rows in run.share_of_rows():
                assert self.dtype is not None
                lengths = run.features.lengths[rows]
                flat = torch.empty((int(lengths.sum()), self.width), dtype=self.dtype)
                wanted = flat.view(torch.uint8).numpy().reshape(-1).data
                if file.readinto(wanted) != flat.nbytes:
                    raise UserError(f"stream_frozen_layers: {self.path} was cut off; start again")
                index = padded_index(np.cumsum(lengths) - lengths, lengths)
                yield clear_padding(flat[index], lengths)
