"""A recipe or a command as a program: flags in, errors without a traceback, an exit code out."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from lowcost_ft.config import RunConfig, parse_config
from lowcost_ft.errors import UserError

__all__ = ["exit_code", "run_recipe"]


def run_recipe(
    main: Callable[[RunConfig], Any],
    default: RunConfig,
    *,
    description: str | None = None,
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Runs a recipe as a program: reads its flags, prints errors without a traceback, exits.

    Exit codes: 0 done, 2 the user's mistake, 1 ours, 130 or 143 interrupted.
    """
    config = parse_config(default, arguments, description=description)
    # What stops a job (a scheduler, a container) is recorded like Ctrl-C.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        code = exit_code(lambda: main(config), debug=config.debug)
    finally:
        signal.signal(signal.SIGTERM, before)
    sys.exit(code)


def exit_code(action: Callable[[], Any], *, debug: bool) -> int:
    """Runs `action` and returns the exit code; errors are printed to standard error.

    Of several processes, the first one on each machine alone explains a user's mistake, which is
    the same in all of them.
    """
    try:
        action()
    except UserError as error:
        if debug:
            traceback.print_exc()
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has enough of it (`| head`); nothing is left to flush it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"failed: {type(error).__name__}: {error}", file=sys.stderr)
        print("This is not your mistake; --debug shows where it happened.", file=sys.stderr)
        return 1
    return 0
