"""Blocks and segments of the CUDA allocator, as its documentation describes them."""

import pytest
import torch

from lowcost_ft.memory.cuda_allocator import CudaAllocator

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "block", "segment"),
    [
        (1, 512, 2 * MIB),
        (513, 1024, 2 * MIB),
        (MIB, MIB, 2 * MIB),
        (MIB + 1, MIB + 512, 20 * MIB),
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),
        # What is left of a large segment, 1 MiB or less, goes with the request.
        (11 * MIB, 12 * MIB, 12 * MIB),
        (19 * MIB + 512, 20 * MIB, 20 * MIB),
    ],
)
def test_one_request(size, block, segment):
    usage = CudaAllocator.replay([(size, 0)])
    assert (usage.allocated_bytes, usage.reserved_bytes) == (block, segment)


def test_small_requests_share_a_segment():
    usage = CudaAllocator.replay([(1000, number) for number in range(2048)])
    assert usage.allocated_bytes == usage.reserved_bytes == 2 * MIB


def test_what_was_freed_is_used_again_and_joined_with_its_neighbours():
    events = [(5 * MIB, 0), (5 * MIB, 1), (5 * MIB, 2), (-5 * MIB, 0), (-5 * MIB, 1)]
    assert CudaAllocator.replay([*events, (9 * MIB, 3)]).reserved_bytes == 20 * MIB
    # Two free pieces with one in use between them do not make a large one.
    events = [(5 * MIB, 0), (5 * MIB, 1), (5 * MIB, 2), (-5 * MIB, 0), (-5 * MIB, 2)]
    assert CudaAllocator.replay([*events, (9 * MIB, 3)]).reserved_bytes == 20 * MIB
    assert CudaAllocator.replay([*events, (11 * MIB, 3)]).reserved_bytes == 32 * MIB


def test_the_smallest_block_that_fits_is_taken():
    events = [(12 * MIB, 0), (30 * MIB, 1), (-12 * MIB, 0), (-30 * MIB, 1)]
    usage = CudaAllocator.replay([*events, (11 * MIB, 2), (30 * MIB, 3)])
    assert usage.reserved_bytes == 42 * MIB


def test_a_peak_and_its_moment():
    events = [(4 * MIB, 0), (8 * MIB, 1), (-8 * MIB, 1), (2 * MIB, 2)]
    usage = CudaAllocator.replay(events)
    assert (usage.allocated_bytes, usage.moment) == (12 * MIB, 1)
    assert usage.block_bytes[2] == 2 * MIB


@pytest.mark.gpu
def test_as_the_real_allocator_does():
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    start = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    if start != (0, 0):
        pytest.skip("another test holds memory of the GPU")
    sizes = [300, 5 * MIB, 12 * MIB, 700_000, 3 * MIB, 40 * MIB, 1, 9 * MIB]
    events, held = [], {}
    for number, size in enumerate(sizes * 3):
        held[number] = torch.empty(size, dtype=torch.uint8, device="cuda")
        events.append((size, number))
        if number % 3 == 2:
            old = min(held)
            events.append((-held.pop(old).nbytes, old))
    usage = CudaAllocator.replay(events)
    assert usage.allocated_bytes == torch.cuda.max_memory_allocated()
    assert usage.reserved_bytes == torch.cuda.max_memory_reserved()
