"""Work in a process of its own: its memory is gone with it, and its death is only its own."""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lowcost_ft.errors import UserError

__all__ = ["DiedError", "apart"]

_DEATH_OF_PARENT = 1
"""PR_SET_PDEATHSIG of Linux: the signal that a process gets when its parent dies."""


class DiedError(Exception):
    """The process ended without a result: out of memory, or killed."""


def apart(work: Callable[[], Any]) -> Any:
    """Does some work in a copy of this process, which must not have trained anything itself.

    What a trial leaves behind in memory, such as heaps in pieces, does not stay for the next one. A
    killed parent takes the copy along, so that whoever goes on finds the folder free.

    Args:
        work: Returns what JSON has.

    Raises:
        UserError: As the work raised it.
        DiedError: The process ended without a result.
        KeyboardInterrupt: Ctrl-C, once the copy has saved what it had.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _work(work, writer, parent)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            text = pipe.read()
    except BaseException:
        with suppress(ChildProcessError):  # It has got the signal as well, and saves.
            os.waitpid(child, 0)
        raise
    _, status = os.waitpid(child, 0)
    if not text:
        code = os.waitstatus_to_exitcode(status)
        if code in (130, 143):
            raise KeyboardInterrupt
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise DiedError(f"its process ended without a result ({name}): out of memory, or killed")
    told = json.loads(text)
    if "problems" in told:
        raise UserError(told["problems"])
    if "error" in told:
        raise RuntimeError(told["error"])
    return told["result"]


def _work(work: Callable[[], Any], writer: int, parent: int) -> None:
    """Never returns: what the parent would do at its end is not the copy's to do."""
    code = 1
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_DEATH_OF_PARENT, signal.SIGKILL)
            if os.getppid() != parent:  # It died just before.
                os._exit(1)
        try:
            told: dict[str, Any] = {"result": work()}
        except UserError as error:
            told = {"problems": error.problems}
        except Exception as error:
            told = {"error": f"{type(error).__name__}: {error}"}
        text = json.dumps(told).encode()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(text)
        code = 0
    except KeyboardInterrupt:
        code = 130
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        os._exit(code)
