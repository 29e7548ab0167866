"""How much memory the trials of a tuning run may take, where the user does not say."""

import resource
from pathlib import Path

import psutil

__all__ = ["spare_memory"]

_KEPT_FREE = 200_000_000
"""Bytes for what is not of a training step: reading data, evaluating, the system's own."""
_SHARE = 0.6
"""Share of the rest for a step: saving holds weights and optimizer state once more."""


def spare_memory() -> int:
    """Bytes that a training step may need here, beside what this process holds already.

    On a GPU what is free on it; on a CPU the least of what the machine has to spare, of its control
    group's limit, and of this process's own limits on data and addresses.
    """
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    # What every trial imports is no room for its step.
    import lowcost_ft.pipeline.evaluate
    import lowcost_ft.scores.offline_metrics  # noqa: F401

    spare = [int(psutil.virtual_memory().available)]
    held = _held()
    for limit, name in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        soft = resource.getrlimit(limit)[0]
        if soft != resource.RLIM_INFINITY and name in held:
            spare.append(soft - held[name])
    for used, most in (
        ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.max"),
        (
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ),
    ):
        now, limit_of_group = _number(used), _number(most)
        if now is not None and limit_of_group is not None:
            spare.append(limit_of_group - now)
    return max(0, int(_SHARE * (min(spare) - _KEPT_FREE)))


def _held() -> dict[str, int]:
    """What this process holds, in bytes; empty where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines if line.startswith(("VmData", "VmSize")))
    return {name.rstrip(":"): int(size) * 1024 for name, size, _ in pairs}


def _number(file: str) -> int | None:
    try:
        text = Path(file).read_text("utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
