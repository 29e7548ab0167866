"""A folder that one process at a time may hold; if it dies, the system gives the folder back."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["LOCK_FILE", "InUseError", "locked"]

LOCK_FILE = ".lock"
"""Locked while a run goes on, and removed when it ends. The file of a killed run blocks nobody: the
system has given its lock back."""

_ATTEMPTS = 1000
"""How often a file is opened that others keep removing."""


class InUseError(Exception):
    """Another process holds the folder."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Creates the folder and holds it inside the block; afterwards it is removed if it is empty.

    Raises:
        InUseError: Another process holds it.
    """
    lock = folder / LOCK_FILE
    with _open_locked(lock):
        try:
            yield
        finally:
            # The file is removed while it is locked. Another process that has opened it finds, once
            # it has the lock, that the file is gone, and begins again (`_is_same_file`).
            with contextlib.suppress(OSError):
                lock.unlink()
                folder.rmdir()  # Fails where something was written.


@contextlib.contextmanager
def _open_locked(lock: Path) -> Iterator[None]:
    attempts = 0
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = open(lock, "ab")  # noqa: SIM115 (closed below, which unlocks it)
        except (FileExistsError, FileNotFoundError):
            # Another run is removing its empty folder, or the path is a broken link.
            attempts += 1
            if attempts == _ATTEMPTS:
                raise
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUseError from None
            except OSError as error:  # Some network disks cannot lock.
                print(
                    f"note: {lock.parent} lies on a disk that cannot lock files "
                    f"({error.strerror}): do not start a second run there",
                    file=sys.stderr,
                )
            else:
                if not _is_same_file(lock, file.fileno()):
                    continue
            yield
            return


def _is_same_file(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
