"""Children of a script: forks that share the libraries which it has imported."""

import os
import sys
import traceback
from collections.abc import Callable

__all__ = ["fork", "wait"]


def fork(action: Callable[[], object]) -> int:
    """Runs `action` in a child of this process; returns its id."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        action()
        code = 0
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(process: int) -> int:
    """Waits for a child of `fork`; returns its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
