"""What a run depends on besides its settings: versions, the machine, the source tree."""

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

__all__ = ["cache_sizes", "command_line", "git_state", "hardware", "int8_instructions"]
__all__ += ["versions"]

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "datasets", "evaluate")
"""Their versions are recorded, besides Python's and our own."""


def versions(more: Sequence[str] = ()) -> dict[str, str | None]:
    """Versions of Python, the libraries that decide a result, and ours; None: not installed.

    Args:
        more: Other packages that the result depends on.
    """
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in (*PACKAGES, *more, "lowcost_ft"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    # Its package's metadata leave out for which GPUs it was built.
    return found | {"torch": str(torch.__version__)}


def command_line() -> list[str]:
    """The arguments that this process was started with; a program below the working directory by
    its relative path. Launchers (`accelerate launch`) and the interpreter are not among them."""
    program, *arguments = sys.argv
    with contextlib.suppress(ValueError):
        program = str(Path(program).resolve().relative_to(Path.cwd()))
    return [program, *arguments]


def hardware() -> dict[str, Any]:
    """The machine.

    Returns:
        `cpu` (model), `cores` (physical), `threads` (that PyTorch uses in this process),
        `ram_bytes`, and `gpus`, a list of `{"name", "memory_bytes"}`.
    """
    gpus = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(index)
            gpus.append({"name": device.name, "memory_bytes": device.total_memory})
    return {
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "threads": torch.get_num_threads(),
        "ram_bytes": psutil.virtual_memory().total,
        "gpus": gpus,
    }


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cache_sizes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> dict[int, int]:
    """Bytes of the first core's data caches by level; a level that cores share counts whole.

    Args:
        folder: Where Linux lists them. Empty where nobody does: on other systems, and inside some
            virtual machines and sandboxes.
    """
    found: dict[int, int] = {}
    for cache in sorted(folder.glob("index*")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            if (cache / "type").read_text("utf-8").strip() == "Instruction":
                continue
            level = int((cache / "level").read_text("utf-8"))
            size = (cache / "size").read_text("utf-8").strip()  # such as 32768K
            found[level] = int(size.rstrip("KMG")) * _UNITS[size[-1]]
    return found


_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def int8_instructions() -> str | None:
    """The CPU's instructions for products of 8-bit integers; None where it has none of those known.

    Without them a product of integers is hardly faster than one of float32, and sums of full 8-bit
    products may overflow.
    """
    kinds = {
        "avx512_vnni": "AVX512-VNNI",
        "avx_vnni": "AVX-VNNI",
        "amx_int8": "AMX",
        "asimddp": "ARM dot product",
    }
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.lower().startswith(("flags", "features")):
                flags = set(line.partition(":")[2].split())
                return next((name for flag, name in kinds.items() if flag in flags), None)
    return "ARM dot product" if platform.machine() == "arm64" else None


def git_state() -> dict[str, Any]:
    """Commit of the source tree that this package is run from.

    Returns:
        `commit` and `dirty` (whether tracked files were changed); both None for an installed
        package, also where the installation lies inside somebody else's repository.
    """
    unknown = {"commit": None, "dirty": None}
    if not shutil.which("git"):
        return unknown

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return unknown
    commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "-uno")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}
