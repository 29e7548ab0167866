"""What PyTorch's CUDA allocator makes of a sequence of requests: blocks, and segments of the GPU.

The rules are those of c10/cuda/CUDACachingAllocator.cpp with its default settings:

- A request is rounded up to a multiple of 512 bytes.
- Requests up to 1 MiB are cut out of segments of 2 MiB; those below 10 MiB out of segments of
  20 MiB; a larger one gets a segment of its own, rounded up to 2 MiB.
- A request takes the smallest free block that is large enough. What is left over becomes a free
  block if it is at least 512 bytes (small segments) or more than 1 MiB (large ones); else it goes
  with the request. Free neighbours of one segment are joined.
- Segments are kept, so what counts against the GPU is everything that was ever reserved.
"""

import bisect
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CudaAllocator", "Usage", "segment_bytes"]

_ROUNDING = 512
_SMALL, _SMALL_SEGMENT = 1 << 20, 2 << 20
_MEDIUM, _MEDIUM_SEGMENT = 10 << 20, 20 << 20
_LARGE_ROUNDING = 2 << 20


@dataclass(kw_only=True)
class Usage:
    """Peaks of a sequence of requests.

    Attributes:
        allocated_bytes: Most bytes of blocks in use: `torch.cuda.max_memory_allocated`.
        reserved_bytes: Bytes of all segments: `torch.cuda.max_memory_reserved`.
        moment: Index of the event at which most was in use.
        block_bytes: Size of each request's block.
    """

    allocated_bytes: int
    reserved_bytes: int
    moment: int
    block_bytes: dict[int, int]


class _Block:
    """A piece of a segment, in use or free, with its neighbours."""

    __slots__ = ("after", "before", "free", "number", "size", "small")

    def __init__(self, size: int, number: int, small: bool) -> None:
        self.size = size
        self.number = number
        self.small = small
        self.free = True
        self.before: _Block | None = None
        self.after: _Block | None = None


class CudaAllocator:
    """Replays requests one by one."""

    def __init__(self) -> None:
        self.allocated = 0
        self.reserved = 0
        self._made = 0
        self._free: dict[bool, list[tuple[int, int, _Block]]] = {True: [], False: []}
        self._in_use: dict[int, _Block] = {}

    def allocate(self, number: int, size: int) -> int:
        """Serves request `number`; returns the size of its block."""
        if size == 0:
            return 0
        rounded = _round_up(size, _ROUNDING)
        small = rounded <= _SMALL
        pool = self._free[small]
        position = bisect.bisect_left(pool, (rounded, -1))
        if position < len(pool):
            block = pool.pop(position)[2]
        else:
            block = self._new_block(_segment_bytes(rounded), small)
            self.reserved += block.size
        left = block.size - rounded
        if left >= _ROUNDING if small else left > _SMALL:
            rest = self._new_block(left, small)
            rest.before, rest.after = block, block.after
            if block.after:
                block.after.before = rest
            block.after, block.size = rest, rounded
            self._put(rest)
        block.free = False
        self._in_use[number] = block
        self.allocated += block.size
        return block.size

    def free(self, number: int) -> None:
        """Gives a request's block back."""
        block = self._in_use.pop(number, None)
        if block is None:
            return
        self.allocated -= block.size
        for other in (block.before, block.after):
            if other is not None and other.free:
                pool = self._free[other.small]
                del pool[bisect.bisect_left(pool, (other.size, other.number))]
                first, second = (other, block) if other is block.before else (block, other)
                first.size += second.size
                first.after = second.after
                if second.after:
                    second.after.before = first
                block = first
        self._put(block)

    def _new_block(self, size: int, small: bool) -> _Block:
        self._made += 1
        return _Block(size, self._made, small)

    def _put(self, block: _Block) -> None:
        block.free = True
        bisect.insort(self._free[block.small], (block.size, block.number, block))

    @classmethod
    def replay(cls, events: Iterable[tuple[int, int]]) -> Usage:
        """Replays changes in bytes and the numbers of their requests."""
        allocator = cls()
        usage = Usage(allocated_bytes=0, reserved_bytes=0, moment=0, block_bytes={})
        for position, (change, number) in enumerate(events):
            if change < 0:
                allocator.free(number)
            else:
                usage.block_bytes[number] = allocator.allocate(number, change)
            if allocator.allocated > usage.allocated_bytes:
                usage.allocated_bytes, usage.moment = allocator.allocated, position
        usage.reserved_bytes = allocator.reserved
        return usage


def segment_bytes(size: int) -> int:
    """What the allocator takes from the device for a large request of its own."""
    return _segment_bytes(_round_up(size, _ROUNDING))


def _segment_bytes(size: int) -> int:
    if size <= _SMALL:
        return _SMALL_SEGMENT
    return _MEDIUM_SEGMENT if size < _MEDIUM else _round_up(size, _LARGE_ROUNDING)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
