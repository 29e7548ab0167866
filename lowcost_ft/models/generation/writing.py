"""Texts of many rows, in batches that fit into memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lowcost_ft.config.generation import GenerationSettings
from lowcost_ft.errors import NoRoomError, is_out_of_memory
from lowcost_ft.models.generation.beams import write_by_beams
from lowcost_ft.models.generation.cache_memory import cache_size
from lowcost_ft.models.generation.constraints import constraints
from lowcost_ft.models.generation.decoding import Decoding
from lowcost_ft.models.generation.greedy import write_greedily

__all__ = ["Written", "generate", "plan_batches", "start_token"]

_CPU_BYTES = 256 * 2**20
"""What keys and values may take on a CPU: larger batches are not faster there."""

_GPU_SHARE = 0.5
"""The same as a share of a GPU's free memory; the rest is for activations and logits."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written.

    Attributes:
        tokens: New tokens of each row, in the order of the prompts, without the token that ends it.
        near_ties: Numbers of the rows in which the best candidates were nearly equal at some step,
            so that they may read otherwise if they are written alone.
        halvings: How often memory ran out, so that a batch was cut in two.
        cache_bytes: The largest size that the keys and values of a batch were planned to have.
    """

    tokens: list[list[int]]
    near_ties: tuple[int, ...]
    halvings: int
    cache_bytes: int


def generate(
    model: Any,
    prompts: Sequence[np.ndarray],
    settings: GenerationSettings,
    *,
    pad_token_id: int,
    numbers: Sequence[int] | None = None,
    memory_bytes: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Written:
    """Writes a text for each row.

    Rows of like length are written together, and a row that has ended leaves its batch. Greedy and
    beam search write what `generate` of transformers writes for the single row, unless candidates
    are nearly equal (`near_ties`). Drawn texts depend on the seed and the row's number alone.

    Args:
        model: A model of transformers with a language model's head, or peft's adapter around one,
            in evaluation mode.
        prompts: Tokens of each row, at least one each; of an encoder-decoder what its encoder
            reads, with the tokens that its tokenizer adds.
        settings: How to write.
        pad_token_id: What fills up rows; its value does not matter.
        numbers: The number of each row, which its draws depend on; None: counted from 0.
        memory_bytes: What the keys and values of a batch may take; None: a fixed amount on a CPU,
            half of the free memory of a GPU.
        progress: Called with the number of rows that are finished.

    Raises:
        NoRoomError: Memory ran out on a single row.
        ValueError: A row has no tokens.
    """
    if any(len(prompt) == 0 for prompt in prompts):
        raise ValueError("a row has no tokens to begin with")
    device = next(model.parameters()).device
    dtype = (
        torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
    )
    size = cache_size(model.config, (dtype or next(model.parameters()).dtype).itemsize)

    def row_bytes(row: int) -> int:
        return size.of_row(len(prompts[row]), settings.max_new_tokens, settings.num_beams)

    numbers = range(len(prompts)) if numbers is None else numbers
    room = _room(device) if memory_bytes is None else memory_bytes
    texts: list[list[int]] = [[] for _ in prompts]
    ties: list[int] = []
    halvings = largest = 0
    waiting = plan_batches([len(prompt) for prompt in prompts], row_bytes, room)
    waiting.reverse()
    while waiting:
        rows = waiting.pop()
        try:
            found, tied = _write(model, prompts, rows, settings, pad_token_id, numbers, device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(rows) == 1:
                raise NoRoomError(
                    f"memory ran out while a text was written after {len(prompts[rows[0]]):,} "
                    "tokens; lower --max-length, --max-target-length or --num-beams"
                ) from error
            half = len(rows) // 2
            waiting += [rows[half:], rows[:half]]
            halvings += 1
            found = None
        if found is None:  # Outside of the handler, where the error would keep its tensors alive.
            if device.type == "cuda":
                torch.cuda.empty_cache()
            continue
        largest = max(largest, max(map(row_bytes, rows)) * len(rows))
        for row, tokens, is_tied in zip(rows, found, tied, strict=True):
            texts[row] = tokens
            if is_tied:
                ties.append(row)
        if progress is not None:
            progress(len(rows))
    return Written(
        tokens=texts, near_ties=tuple(sorted(ties)), halvings=halvings, cache_bytes=largest
    )


def plan_batches(
    lengths: Sequence[int], row_bytes: Callable[[int], int], room: int
) -> list[list[int]]:
    """Rows that are written together, the longest ones first, so that a lack of memory shows early.

    Args:
        lengths: Tokens of each row's prompt.
        row_bytes: What the keys and values of a row take; a batch takes as much for each of its
            rows as for its longest.
        room: What a batch may take; a single row always makes one.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    batches: list[list[int]] = []
    each = 0
    for row in order:
        if not batches or each * (len(batches[-1]) + 1) > room:
            batches.append([])
            each = row_bytes(row)
        batches[-1].append(row)
    return batches


def _room(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What the allocator keeps for itself is free, too.
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int((free + cached) * _GPU_SHARE)
    return _CPU_BYTES


def _write(
    model: Any,
    prompts: Sequence[np.ndarray],
    rows: Sequence[int],
    settings: GenerationSettings,
    pad_token_id: int,
    numbers: Sequence[int],
    device: torch.device,
) -> tuple[list[list[int]], list[bool]]:
    with torch.inference_mode():
        decoding = Decoding(
            model,
            [prompts[row] for row in rows],
            pad_token_id=pad_token_id,
            start_token_id=start_token(model, settings),
            device=device,
        )
        processors = constraints(model, settings, length=decoding.sequences.shape[1], device=device)
        if settings.num_beams > 1:
            return write_by_beams(decoding, processors, settings)
        own = [int(numbers[row]) for row in rows]
        return write_greedily(decoding, processors, settings, own)


def start_token(model: Any, settings: GenerationSettings) -> int | None:
    """What the decoder of an encoder-decoder begins with; None for a decoder."""
    if not model.config.is_encoder_decoder or settings.start_token_id is not None:
        return settings.start_token_id
    published = getattr(model, "generation_config", None)
    for holder in (published, model.config):
        for name in ("decoder_start_token_id", "bos_token_id"):
            if (token := getattr(holder, name, None)) is not None:
                return int(token)
    raise ValueError("the model's configuration lacks decoder_start_token_id")
