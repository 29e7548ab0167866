"""How much memory, disk and reading the output of frozen layers takes, predicted without weights.

The simulated work on a stage is `run_stage`'s own, so that the two cannot drift apart.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from lowcost_ft.data.batching import MicroBatch, inference_tokens, share_step
from lowcost_ft.data.features import Features
from lowcost_ft.frozen.encoder_part import lower_part
from lowcost_ft.frozen.lower_part import put_module
from lowcost_ft.frozen.lower_states import LowerStates
from lowcost_ft.frozen.stored_states import DTYPES, padded_index
from lowcost_ft.frozen.streamed_part import Seen, StreamedPart, stage_bytes
from lowcost_ft.frozen.streaming import Generation, StreamingCost, run_stage, streaming_needs
from lowcost_ft.memory.operators import Target
from lowcost_ft.memory.simulate import (
    MemoryPrediction,
    SimulatedAccelerator,
    real_integers,
    simulate,
)
from lowcost_ft.models.family import Family
from lowcost_ft.models.streamed_weights import StreamedWeights
from lowcost_ft.planning.simulated_step import heaviest_micro_batches

__all__ = ["DISK_RATE", "CacheNeeds", "cache_needs", "simulate_building"]

DISK_RATE = 500_000_000
"""Bytes a second of a disk, where nobody says it: a SATA SSD."""


@dataclass(frozen=True, kw_only=True)
class CacheNeeds:
    """What the output of frozen layers takes beside the memory of the device.

    Attributes:
        tokens: Tokens of all examples.
        kept_bytes: On disk, for good.
        disk_bytes: On disk, the most at once.
        weight_file_bytes: Read from the checkpoint, all readings together; 0 where the layers are
            in memory.
        state_bytes: Bytes of states that are written and read until all are there.
        host_bytes: Bytes of weights in the memory of a GPU's host.
    """

    tokens: int
    kept_bytes: int
    disk_bytes: int
    weight_file_bytes: int
    state_bytes: int
    host_bytes: int

    def disk_seconds(self, disk_rate: float) -> float:
        """How long a disk of so many bytes a second is busy."""
        return (self.weight_file_bytes + self.state_bytes) / disk_rate

    def to_dict(self, disk_rate: int) -> dict[str, Any]:
        """As `run.json` and `lowcost-ft plan --json` have it."""
        seconds = round(self.disk_seconds(disk_rate), 1)
        return asdict(self) | {"disk_rate": disk_rate, "disk_seconds": seconds}


def cache_needs(
    model: Any,
    family: Family,
    trainable_layers: int,
    tokens: dict[str, int],
    *,
    target: Target,
    cache_dtype: str,
    streamed: bool,
    weight_dtype: torch.dtype,
) -> CacheNeeds:
    """What the states of so many tokens will take.

    Args:
        model: A task model of transformers, whole, on the meta device.
        family: Its entry in the table.
        trainable_layers: How many of the top layers train.
        tokens: Tokens of each data set.
        target: The hardware.
        cache_dtype: Precision of the states on disk.
        streamed: Whether the layers are read one at a time.
        weight_dtype: Precision of the checkpoint.
    """
    stored = DTYPES.get(target.mixed_precision, torch.float32)
    stored = stored if cache_dtype == "auto" else DTYPES[cache_dtype]
    kept = sum(tokens.values()) * model.config.get_text_config().hidden_size * stored.itemsize
    lower = lower_part(model, family, trainable_layers)
    disk, weights, states, host = kept, 0, kept, _bytes(lower.tensors())
    if streamed:
        # A layer hands on what it adds up, which is in float32 whatever its products are in.
        cost, disk = streaming_needs(model, family, trainable_layers, tokens, stored=stored)
        weights = cost.weight_bytes // 4 * weight_dtype.itemsize
        states = cost.written_bytes + cost.read_bytes
        host = _bytes(lower.upper_tensors()) + max(stage_bytes(lower, family))
    return CacheNeeds(
        tokens=sum(tokens.values()),
        kept_bytes=kept,
        disk_bytes=disk,
        weight_file_bytes=weights,
        state_bytes=states,
        host_bytes=host if target.device == "cuda" else 0,
    )


def _bytes(tensors: Iterator[torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def simulate_building(
    model: Any,
    family: Family,
    trainable_layers: int,
    splits: list[Features],
    *,
    target: Target,
    pad_token_id: int,
    micro_batch_tokens: int,
    num_processes: int = 1,
) -> MemoryPrediction:
    """Predicts the peak memory while frozen layers are read and run, one at a time.

    Args:
        model: A task model of transformers, whole, on the meta device, adapters in its top layers.
        family: Its entry in the table.
        trainable_layers: How many of the top layers train.
        splits: Data sets that pass the layers.
        target: The hardware.
        pad_token_id: Token that fills up a micro-batch.
        micro_batch_tokens: Padded tokens that a micro-batch may hold.
        num_processes: How many share the rows.
    """
    found: list[MemoryPrediction] = []
    tokens = inference_tokens(micro_batch_tokens, target.device)
    pieces = [(f, piece) for f in splits for piece in _costly_pieces(f, tokens, num_processes)]
    with real_integers(model):
        part = _UnreadPart(model, family, trainable_layers)
        waiting = {id(t) for t in part.upper_tensors()} if target.device == "cuda" else set()
        present = [*model.parameters(), *model.buffers()]
        present = [tensor for tensor in present if id(tensor) not in waiting]
        try:
            for stage in part.different_stages():
                resident = {"weights": [*present, *part.stage_tensors(stage)]}
                for features, piece in pieces:
                    run = partial(_run_pieces, part, stage, features, piece, pad_token_id)
                    found.append(simulate(target, run, resident=resident, trained=[]))
        finally:
            part.leave()
    return max(found, key=lambda prediction: (prediction.needed_bytes, prediction.peak_bytes))


def _costly_pieces(
    features: Features, micro_batch_tokens: int, num_processes: int
) -> list[list[MicroBatch]]:
    """The micro-batches that decide the peak, each behind the one before it."""
    lengths = features.lengths
    rows = np.arange(len(lengths))
    # Rows are dealt by length: the first process has the longest.
    (share, *_) = share_step(
        rows, lengths, num_processes=num_processes, micro_batch_tokens=micro_batch_tokens
    )
    costly = {id(rows) for rows in heaviest_micro_batches(share, lengths)}
    return [share[max(0, i - 1) : i + 1] for i, rows in enumerate(share) if id(rows) in costly]


def _run_pieces(
    part: "_UnreadPart",
    stage: int,
    features: Features,
    piece: list[MicroBatch],
    pad_token_id: int,
    accelerator: SimulatedAccelerator,
) -> None:
    """One stage on some micro-batches, as `fill_layer_by_layer` runs it and writes the result."""
    run = _Pieces(cast(Accelerator, accelerator), part, features, pad_token_id, 0, piece)
    before = _Unwritten(part.width, part.dtype, accelerator.functions.target) if stage else None
    cost = StreamingCost(layers=len(part.stages))
    with part.in_memory(stage):
        for _, states in run_stage(part, stage, run, before, cost):
            part.width, part.dtype = states.shape[-1], states.dtype


@dataclass(frozen=True)
class _Pieces(LowerStates):
    """A few micro-batches of a data set."""

    pieces: list[MicroBatch]

    def share_of_rows(self) -> list[MicroBatch]:
        return self.pieces

    def micro_batches(self, description: str | None = None) -> Iterator[MicroBatch]:
        return iter(self.pieces)


class _Unwritten(Generation):
    """States that would be read from a file."""

    def __init__(self, width: int, dtype: torch.dtype, target: Target) -> None:
        super().__init__(Path())
        self.width, self.dtype = width, dtype
        self._on_cuda = target.device == "cuda"

    def read(self, run: LowerStates) -> Iterator[torch.Tensor]:
        for rows in run.share_of_rows():
            lengths = run.features.lengths[rows]
            index = padded_index(np.cumsum(lengths) - lengths, lengths)
            if self._on_cuda:  # Only the copy of it that is on the device counts.
                yield torch.empty((*index.shape, self.width), dtype=self.dtype, device="meta")
            else:
                shape = (int(lengths.sum()), self.width)
                flat = torch.empty(shape, dtype=self.dtype, device="meta")
                yield flat[index]


class _UnreadPart(StreamedPart):
    """The lower part of a model on the meta device, which `leave` makes whole again.

    Attributes:
        width: Width of the states that the last stage returned.
        dtype: Their precision.
    """

    def __init__(self, model: Any, family: Family, trainable_layers: int) -> None:
        super().__init__(model, family, trainable_layers, StreamedWeights(places={}))
        self.width, self.dtype = 0, torch.float32

    def leave(self) -> None:
        """Puts all modules back."""
        for name, module in self.modules.items():
            put_module(self._model.base_model, name, module)

    def stage_tensors(self, stage: int) -> list[torch.Tensor]:
        """Parameters and buffers of a stage."""
        modules = [self.modules[name] for name in self.stages[stage]]
        return [t for m in modules for t in (*m.parameters(), *m.buffers())]

    def different_stages(self) -> Iterator[int]:
        """Stages of which no earlier one has the same modules and shapes.

        The others hand on their states in the same way.
        """
        seen: dict[Any, int] = {}
        for stage, names in enumerate(self.stages):
            modules = [self.modules[name] for name in names]
            shapes = [
                (type(m), getattr(m, "attention_type", None), *(t.shape for t in m.parameters()))
                for m in modules
            ]
            same = seen.setdefault(tuple(shapes), stage)
            if same == stage:
                yield stage
            for name, like in zip(names, self.stages[same], strict=True):
                self._tuple_sizes[name] = self._tuple_sizes[like]

    def _read(self, name: str, seen: Seen | None) -> nn.Module:
        return self.modules[name]
