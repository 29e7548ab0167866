"""Frozen lower layers, computed once: each epoch starts from their output, kept on disk.

The embeddings and the lower L - K layers get the same input in every epoch and never change, so
for a row of tokens x the state h = f_lower(x), in evaluation mode, is a constant. It is computed
once a row; training then runs f_upper(h) alone, in the model's own forward pass (`LowerPart`).

What it costs and saves: disk, `total_tokens * hidden * bytes`, and 4N a token of arithmetic become
4N K/L. On a GPU the lower part waits in the memory of the host. On a CPU it stays where it is and
counts as memory in use; the file does not, since the system may drop its pages at any time.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedType

from lowcost_ft.data.features import Features
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.cache_key import describe_model, digest
from lowcost_ft.frozen.device_states import DeviceStates
from lowcost_ft.frozen.encoder_part import lower_part, rows_read
from lowcost_ft.frozen.filling import announce, fill_missing, from_main, is_main, opened
from lowcost_ft.frozen.lower_part import LowerPart
from lowcost_ft.frozen.lower_states import LowerStates
from lowcost_ft.frozen.stored_states import (
    DTYPES,
    PartialStates,
    StoredStates,
    default_cache_dir,
)
from lowcost_ft.frozen.streamed_part import StreamedPart
from lowcost_ft.frozen.streaming import StreamingCost, fill_layer_by_layer
from lowcost_ft.models.family import Family

__all__ = ["CacheReport", "CachedStates", "cached_layers"]

FORMAT = 3
"""Raised whenever states are computed or laid out in another way: older caches are not reused."""


@dataclass(frozen=True, kw_only=True)
class CachedStates:
    """The states of one data set, and the place in the model where they enter."""

    part: LowerPart
    features: Features
    stored: StoredStates
    device: torch.device

    @contextmanager
    def entering(self, rows: np.ndarray, features: Features | None = None) -> Iterator[None]:
        """Inside the block the model starts from the states of these rows, padded on the right.

        Args:
            rows: Numbers of rows.
            features: What they are rows of; None: the cached ones. Others hold the same texts, put
                together in other rows (`Features.members`).
        """
        if features is not None and features.members is not None and self.features.members is None:
            rows = features.members[rows].ravel()
        starts, lengths = self.features.lines(rows)
        states = self.stored.padded(starts, lengths, pin_memory=self.device.type == "cuda")
        states = states.to(self.device, non_blocking=True)
        with self.part.entering(states.to(self.stored.dtype)):  # (B, T, H)
            yield

    def on_device(self) -> "CachedStates":
        """The same states from a copy in the memory of the device."""
        return replace(self, stored=DeviceStates.of(self.stored, self.device))

    def resident(self) -> Iterator[torch.Tensor]:
        """Tensors of the lower part: out of the model, but on the CPU still in its memory."""
        return self.part.tensors()


@dataclass(kw_only=True)
class CacheReport:
    """What the cache cost.

    Attributes:
        states: By the name of the split.
        seconds: Time to compute the states, or to find that they are there.
        num_bytes: Their size on disk.
        reused: Whether all of them were there.
        streaming: What it took to compute them layer by layer; None when they were not streamed.
    """

    states: dict[str, CachedStates]
    seconds: float = 0.0
    num_bytes: int = 0
    reused: bool = True
    streaming: StreamingCost | None = None


@contextmanager
def cached_layers(
    accelerator: Accelerator,
    model: Any,
    family: Family | None,
    splits: dict[str, Features],
    *,
    trainable_layers: int,
    head_names: tuple[str, ...],
    model_id: str,
    max_length: int,
    pad_token_id: int,
    micro_batch_tokens: int,
    dtype: str = "auto",
    cache_dir: str | None = None,
    streamed: StreamedPart | None = None,
    say: Callable[[str], None] = print,
) -> Iterator[CacheReport]:
    """Computes or finds the states of all splits; inside the block the model starts from them.

    Args:
        accelerator: Processes, device and precision; the processes share the work and the folder.
        model: A task model of transformers (`forward_module`), on the device, not yet prepared.
        family: Its entry in the table.
        splits: Tokenized data that the model will be run on inside the block.
        trainable_layers: How many of the top layers train.
        head_names: Paths of the head modules, which are not part of what is kept.
        model_id: The model's name; its frozen weights are looked at as well.
        max_length: Longest row that the data could have had.
        pad_token_id: Token that fills up a micro-batch.
        micro_batch_tokens: Padded tokens that a micro-batch may hold.
        dtype: Precision on disk: fp32, bf16, fp16, or auto (that of the computation).
        cache_dir: Folder of all caches; by default in the user's cache folder.
        streamed: The lower part, where the model was loaded without it.
        say: Prints one line from the main process.

    Yields:
        The states, for `StepRunner` and `predict`, and what they cost.

    Raises:
        UserError: The layers are shared or unknown, the processes hold pieces of the model, or the
            disk has too little room, before anything is written.
    """
    plain = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
    if accelerator.distributed_type not in plain:
        raise UserError(
            f"cache_frozen_layers: does not work with {accelerator.distributed_type.value}, which "
            "splits the model between processes; leave it out, or use plain data parallelism"
        )
    started = time.perf_counter()
    part = streamed or lower_part(model, family, trainable_layers)
    splits = {name: rows_read(features, family) for name, features in splits.items()}
    assert family is not None
    report = CacheReport(states={})
    base = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
    precision = accelerator.mixed_precision
    if dtype == "auto":
        dtype = "fp32" if precision == "no" else precision
    runs = {
        name: LowerStates(accelerator, part, features, pad_token_id, micro_batch_tokens)
        for name, features in splits.items()
    }
    # The main process decides for all, so the others need not look at every weight.
    seen: dict[str, str] = {}
    see = (lambda n, w: seen.update({n: digest([(n, w)])})) if is_main(accelerator) else None
    probe = next(iter(runs.values())).probe(see)  # (1, T, H): all others are like it
    described = (
        describe_model(accelerator, model, family, part, head_names, seen)
        if is_main(accelerator)
        else {}
    )
    wanted, descriptions = {}, {}
    for name, features in splits.items():
        arrays = {n: getattr(features, n) for n in ("input_ids", "starts", "token_type_ids")}
        descriptions[name] = described | {
            "format": FORMAT,
            "model_id": model_id,
            "max_length": max_length,
            "data": digest(arrays.items()),
            "dtype": str(probe.dtype).removeprefix("torch."),
            "stored_dtype": dtype,
        }
        text = json.dumps(descriptions[name], sort_keys=True)
        key = from_main(hashlib.sha256(text.encode()).hexdigest()[:32])
        shape = (len(features.input_ids), probe.shape[-1])
        wanted[name] = PartialStates(base / key, shape=shape, stored_dtype=dtype)
    stages = len(streamed.stages) if streamed else 1
    growth = probe.dtype.itemsize / DTYPES[dtype].itemsize
    announce(accelerator, wanted, base, say, stages=stages, growth=growth)

    def compute(missing: list[str]) -> None:
        if streamed:
            chosen = {name: runs[name] for name in missing}
            report.streaming = fill_layer_by_layer(streamed, chosen, wanted, say=say)
            return
        for name in missing:
            wanted[name].write(runs[name].share())

    # Layer by layer, all data sets pass a layer while it is there.
    for names in [list(runs)] if streamed else [[name] for name in runs]:
        filled = fill_missing(accelerator, names, wanted, descriptions, compute)
        for name in names:
            stored = opened(wanted[name].folder)
            if name not in filled:
                say(f"frozen layers: reusing the {name} states in {wanted[name].folder}")
            report.states[name] = CachedStates(
                part=part, features=splits[name], stored=stored, device=accelerator.device
            )
            report.num_bytes += stored.num_bytes
            report.reused = report.reused and name not in filled
    report.seconds = time.perf_counter() - started
    with part.taken_out():
        yield report
