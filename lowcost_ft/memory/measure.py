"""Peak memory of a real training step, by the allocator's own account."""

import resource
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch

__all__ = ["cpu_step_peak_bytes", "resident_peak_bytes", "storage_bytes"]


def storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the tensors' storages, shared ones counted once (memory-mapped ones too)."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def cpu_step_peak_bytes(step: Callable[[], Any], alive: Iterable[torch.Tensor]) -> int:
    """Runs `step` and returns the most bytes that tensors held at any moment on the CPU.

    Sums the events of PyTorch's CPU allocator, which its profiler records, on top of what was
    alive before; temporaries inside operators are therefore included.

    Args:
        step: One optimizer step; its optimizer has stepped before, so that its state exists.
        alive: Tensors that exist before the step: weights, buffers, optimizer state.
    """
    before = storage_bytes(alive)
    activity = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activity, profile_memory=True) as profiler:
        step()
    events = [
        (event.start_ns(), event.nbytes())
        for event in profiler.profiler.kineto_results.events()
        if event.name() == "[memory]" and event.device_type() == torch.autograd.DeviceType.CPU
    ]
    held = peak = before
    for _, change in sorted(events, key=lambda event: event[0]):
        held += change
        peak = max(peak, held)
    return peak


def resident_peak_bytes() -> int:
    """The most physical memory that this process has held so far, libraries included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, else KiB
