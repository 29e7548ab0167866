"""Exceptions for what a user can mend, and how exhausted memory is recognised."""

import errno
import os
import re
from collections.abc import Sequence

__all__ = ["NoRoomError", "UserError", "disk_problem", "is_out_of_memory", "memory_problem"]


class UserError(ValueError):
    """Something in the user's configuration, files or environment that the user can mend.

    Recipes and the command line print its text and exit with code 2, without a traceback.

    Attributes:
        problems: Every problem found, each saying what is wrong, where, and how to fix it.
        total: Their number, where a line of `problems` stands for several.
    """

    def __init__(self, problems: str | Sequence[str], *, total: int | None = None) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        self.total = total or len(self.problems)
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        listed = "\n".join(f"  - {problem}" for problem in self.problems)
        return f"{self.total:,} problems:\n{listed}"


class NoRoomError(UserError):
    """Memory ran out, and smaller micro-batches cannot help: a single example does not fit."""


_EXHAUSTED = (
    "out of memory",  # CUDA, ROCm, XPU, MPS
    "can't allocate memory",  # PyTorch's CPU allocator
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, of the machine or of a GPU.

    `torch.OutOfMemoryError` is a `RuntimeError`; the CPU's allocator raises a bare one.
    """
    if isinstance(error, MemoryError | NoRoomError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    # oneDNN does not say why. Under a limit it is memory.
    texts = (*_EXHAUSTED, "could not create a primitive") if _is_limited() else _EXHAUSTED
    return any(text in str(error) for text in texts)


def memory_problem(error: BaseException) -> str:
    """What an exception says of exhausted memory, in words where PyTorch raised it on a CPU."""
    if found := re.search(r"CPUAllocator: .*tried to allocate (\d+) bytes", str(error)):
        return f"the machine, or a limit on the process, did not give {int(found[1]) / 1e6:,.1f} MB"
    return str(error).strip() or type(error).__name__


def _is_limited() -> bool:
    """Whether this process has a limit on its data or addresses (`ulimit -d`, `ulimit -v`)."""
    try:
        import resource
    except ImportError:  # Not a Unix.
        return False
    limits = (resource.RLIMIT_DATA, resource.RLIMIT_AS)
    return any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in limits)


_DISK = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG),
    *(errno.EACCES, errno.EPERM, errno.ENAMETOOLONG),
}


def disk_problem(error: BaseException) -> str | None:
    """What the disk refused, in words, if that is what an exception says.

    Libraries written in Rust put the system's error number into a text of their own.
    """
    if isinstance(error, OSError) and error.errno in _DISK:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{os.strerror(error.errno)}"
    if found := re.search(r"os error (\d+)", str(error)):
        number = int(found[1])
        return os.strerror(number) if number in _DISK else None
    return None
