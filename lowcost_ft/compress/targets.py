"""How many layers and neurons to keep for a size or a latency that the user names, by measuring."""

import copy
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

from lowcost_ft.compress.layers import cut_neurons, dropping_order, keep_layers, neuron_importance
from lowcost_ft.data.features import collate, model_inputs
from lowcost_ft.data.rows import counted
from lowcost_ft.errors import UserError
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.family import Family
from lowcost_ft.pipeline.comparing import Comparison

__all__ = ["PERCENTILE", "Choice", "Latency", "choose_cuts", "file_bytes", "median_tokens"]
__all__ += ["parse_seconds"]

PERCENTILE = 95
"""Of the times of one text: what `--target-latency` bounds."""

_SHARES = (1.0, 0.75, 0.5, 0.25)
_CALLS = 30
_WARM_UP = 3


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A way to cut a model, as it was measured."""

    layers: int
    """How many layers stay."""
    ffn: float
    """Which share of the neurons of each feed-forward stays."""
    bytes: int
    """Size of the file of weights in float32."""
    seconds: float | None
    """The 95th percentile of the time for one text; None where it was not asked for."""
    moved: float
    """Mean square of how far the logits move."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long a model takes for one text, and under which conditions that was measured."""

    seconds: float
    percentile: int
    """Of the times of one text."""
    tokens: int
    """Tokens of the text."""
    threads: int
    """CPU threads."""


def parse_seconds(text: str) -> float:
    """Reads a time: `5ms`, `0.2s`.

    Raises:
        ValueError: It is none.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(ms|s)\s*", text)
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r} is not a time, such as 5ms")
    return float(match[1]) * (0.001 if match[2] == "ms" else 1.0)


def median_tokens(at: Comparison) -> int:
    """Tokens of the row of the split that is timed: the median one by length."""
    return int(at.features.lengths[_median_row(at)])


def choose_cuts(
    at: Comparison,
    model: Any,
    family: Family,
    *,
    layers: int | None,
    ffn: float | None,
    target_bytes: int | None,
    target_seconds: float | None,
) -> Choice:
    """The cut that moves the logits least among those that reach the targets.

    Every number of layers is tried with all, three, two and one quarter of the neurons. Each is
    cut for real, and its size, its time and its logits are measured.

    Args:
        at: The split that it is measured on.
        model: A model of transformers; it is left as it was.
        family: Its entry in the table of families.
        layers: How many layers stay, where the user has said so.
        ffn: The share of neurons, where the user has said so.
        target_bytes: Most bytes of the file of weights.
        target_seconds: Longest time for one text of `median_tokens`, at the 95th percentile.

    Raises:
        UserError: No cut reaches the targets; says how near the nearest comes.
    """
    count = len(layer_list(model, family))
    counts = range(count, 0, -1) if layers is None else (layers,)
    shares = _SHARES if ffn is None else (ffn,)
    whole = at.outputs(model)
    least = min(counts)
    dropped = dropping_order(model, family, least, lambda: at.outputs(model))
    found = []
    for number, share in product(counts, shares):
        small = copy.deepcopy(model)
        gone = set(dropped[: count - number])
        _cut(at, small, family, [one for one in range(count) if one not in gone], share)
        size = file_bytes(small)
        if target_bytes is not None and size > target_bytes:
            found.append(_measured(number, share, size, None, float("inf")))
            continue
        seconds = None if target_seconds is None else _time(at, small)
        moved = float((at.outputs(small) - whole).square().mean())
        found.append(_measured(number, share, size, seconds, moved))
    reached = [one for one in found if _reaches(one, target_bytes, target_seconds)]
    if not reached:
        table = model.get_input_embeddings().weight
        fixed = [f for f, v in (("--layers", layers), ("--ffn", ffn)) if v is not None]
        raise UserError(_too_far(found, target_bytes, table.nbytes, fixed=fixed))
    return min(reached, key=lambda one: one.moved)


def file_bytes(model: Any) -> int:
    """Size of the safetensors file of a model: its header and its tensors, shared ones once.

    Of the names of a shared tensor the longest one counts, so that the file is not larger.
    """
    names: dict[tuple[int, torch.Size], str] = {}
    tensors: dict[str, torch.Tensor] = dict(model.state_dict())
    for name in sorted(tensors, key=len):
        names[tensors[name].data_ptr(), tensors[name].shape] = name
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in sorted(names.values()):
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.element_size()
        found = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
        header[name] = found
    length = len(json.dumps(header, separators=(",", ":")).encode())
    return 8 + -(-length // 8) * 8 + end  # The header's length, the header, the tensors.


def _measured(layers: int, ffn: float, size: int, seconds: float | None, moved: float) -> Choice:
    return Choice(layers=layers, ffn=ffn, bytes=size, seconds=seconds, moved=moved)


def _cut(at: Comparison, model: Any, family: Family, kept: list[int], ffn: float) -> None:
    keep_layers(model, family, kept)
    if ffn < 1:
        importance = neuron_importance(model, family, lambda: at.outputs(model))
        cut_neurons(model, family, ffn, importance)


def _median_row(at: Comparison) -> int:
    return int(np.argsort(at.features.lengths, kind="stable")[len(at.features.lengths) // 2])


def _time(at: Comparison, model: Any) -> float:
    """The 95th percentile of the times of one text, in seconds."""
    row = np.array([_median_row(at)])
    batch = collate(at.features, row, pad_token_id=at.tokenizer.pad_token_id)
    inputs, times = model_inputs(batch, at.features), []
    with torch.inference_mode():
        for number in range(_WARM_UP + _CALLS):
            start = time.perf_counter()
            at.task.forward(model, inputs)
            if number >= _WARM_UP:
                times.append(time.perf_counter() - start)
    return float(np.percentile(times, PERCENTILE))


def _reaches(one: Choice, target_bytes: int | None, target_seconds: float | None) -> bool:
    small = target_bytes is None or one.bytes <= target_bytes
    return small and (
        target_seconds is None or (one.seconds is not None and one.seconds <= target_seconds)
    )


def _too_far(
    found: Sequence[Choice], target_bytes: int | None, embeddings: int, *, fixed: Sequence[str]
) -> str:
    """How near the nearest comes, and what else helps.

    Args:
        found: All cuts that were tried.
        target_bytes: See `choose_cuts`.
        embeddings: Bytes of the table of embeddings.
        fixed: Flags by which the user has said what stays.
    """
    free = f"leave {' and '.join(fixed)} out, so that deeper cuts are tried; or " * bool(fixed)
    smallest = min(found, key=lambda one: one.bytes)
    if target_bytes is not None and smallest.bytes > target_bytes:
        return (
            f"--target-size: with {_told(smallest)} the weights still take "
            f"{smallest.bytes / 1e6:.1f} MB, of which the embeddings are {embeddings / 1e6:.1f} "
            f"MB: {free}cut those with --trim-vocabulary, or take a smaller base model"
        )
    fastest = min(
        (one for one in found if one.seconds is not None), key=lambda one: one.seconds or 0
    )
    return (
        f"--target-latency: the fastest, with {_told(fastest)}, takes "
        f"{1000 * (fastest.seconds or 0):.1f} ms: {free}take a smaller base model, or export with "
        "int8"
    )


def _told(one: Choice) -> str:
    return f"{counted(one.layers, 'layer')} and {one.ffn:.0%} of the neurons"
