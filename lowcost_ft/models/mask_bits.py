"""Random bits for dropout on a CPU that do not depend on how a step is cut.

A generator hands out its numbers in turn, so what a row gets depends on the rows before it and on
the padding beside it. Inside `masks_by_row` the bits of an element are a hash of the step, the
row, the place in the row and the call. Then a row has the same masks in every micro-batch and on
every process. The hash mixes by multiplying and shifting, as SplitMix64 (Steele, Lea and Flood
2014) does.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["masks_by_row", "random_words"]

_TYPES = {8: torch.int8, 16: torch.int16}
"""What holds so many bits."""
_HASH = ((32, -7046029254386353131), (29, -4658895280553007687), (32, 1))
"""Shifts, and the odd numbers by which words are multiplied after them."""
_LINE = -7723592293110705685
_PLACES = (1442695040888963407, 3935559000370003845, -8663945395140668459, 5412951279816204123)
"""Odd multipliers of lines, and of places along the other dimensions, the last one first."""
_lines: torch.Tensor | None = None


@contextmanager
def masks_by_row(lines: np.ndarray, *, seed: int | None, step: int) -> Iterator[None]:
    """Inside the block, `random_words` depend on the row and not on its neighbours.

    Each call draws one number of PyTorch's generator, which begins anew with the step: it tells
    calls apart, and gradient checkpointing, which sets the generator back, finds the same masks.

    Args:
        lines: A number for each line of a micro-batch that no other line of the data has,
            `(lines,)`: of its row, where a row is one line.
        seed: Seed of the run; None, in a simulation without numbers: the generator goes on.
        step: Number of the optimizer step.
    """
    global _lines
    if seed is not None:
        key = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)
        torch.default_generator.manual_seed(int(key[0]))
    _lines = torch.from_numpy(np.asarray(lines, np.int64))
    try:
        yield
    finally:
        _lines = None


def random_words(x: torch.Tensor, bits: int = 8) -> tuple[torch.Tensor, int | None]:
    """Random integers for the elements of a tensor.

    Args:
        x: The tensor. Where its first dimension is not that of the lines, all of them are taken to
            share it, as they share a table of relative positions. On the meta device there are no
            numbers.
        bits: Bits of each, 8 or 16.

    Returns:
        The integers, in the shape of x, int8 or int16; and a random number of 64 bits of the call's
        own, None on the meta device.
    """
    lanes, kind = 64 // bits, _TYPES[bits]  # One word of 64 bits serves several elements.
    if _lines is None or not 2 <= x.dim() <= len(_PLACES):
        words = x.new_empty(-(-x.numel() // lanes) + 1, dtype=torch.int64)
        words.random_(-(2**63), None)
        own = None if x.is_meta else int(words[-1])
        return words.view(kind)[: x.numel()].view(x.shape), own
    own = None if x.is_meta else int(torch.empty((), dtype=torch.int64).random_(-(2**63), None))
    shared = len(x) != len(_lines)
    key = _count(x, len(x)) - len(x) if shared or x.is_meta else _lines.to(x.device)
    # Hashed by itself first: neighbouring lines must not meet at neighbouring places.
    words = _mixed((key * _LINE).add_(own or 0)).view(-1, *[1] * (x.dim() - 1))
    for axis, odd in zip(range(x.dim() - 1), _PLACES, strict=False):
        size = x.shape[-1 - axis] if axis else -(-x.shape[-1] // lanes)
        words = words + (_count(x, size) * odd).view(-1, *[1] * axis)
    return _mixed(words).view(kind)[..., : x.shape[-1]], own


def _count(x: torch.Tensor, size: int) -> torch.Tensor:
    """The numbers below `size`, `(size,)`, on the device of x; on the meta device only a shape."""
    if x.is_meta:
        return x.new_empty(size, dtype=torch.int64)
    return torch.arange(size, device=x.device)


def _mixed(words: torch.Tensor) -> torch.Tensor:
    """Hashes each word in place."""
    for shift, odd in _HASH:
        # The shift repeats the sign, which the mask takes away.
        words ^= (words >> shift).bitwise_and_((1 << (64 - shift)) - 1)
        if odd != 1:
            words *= odd
    return words
