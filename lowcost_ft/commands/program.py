"""A recipe or a command as a program: flags in, errors without a traceback, an exit code out."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NoReturn

from lowcost_ft.config.run import RunConfig, parse_config
from lowcost_ft.errors import UserError, disk_problem, is_out_of_memory, memory_problem
from lowcost_ft.record.redaction import redact
from lowcost_ft.screen import readers_may_leave, wrapped

__all__ = ["exit_code", "run_recipe", "stopped_like_ctrl_c"]


def run_recipe(
    main: Callable[[RunConfig], Any],
    default: RunConfig,
    *,
    description: str | None = None,
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Runs a recipe as a program: reads its flags, prints errors without a traceback, exits.

    Exit codes: 0 done, 2 what the user can mend (flags, files, disk, memory), 1 our mistake, 130 or
    143 interrupted.
    """
    typed = sys.argv[1:] if arguments is None else arguments
    # Nobody may be reading any more; a run goes on to its end all the same.
    with stopped_like_ctrl_c(), readers_may_leave():
        code = exit_code(
            lambda: _run(main, parse_config(default, typed, description=description)),
            debug="--debug" in typed,
            flags=[field.name for field in fields(RunConfig)],
        )
    sys.exit(code)


@contextmanager
def stopped_like_ctrl_c() -> Iterator[None]:
    """Inside the block, what stops a job (a scheduler, a container) lets it clean up first.

    Only the main thread may say so; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(main: Callable[[RunConfig], Any], config: RunConfig) -> None:
    if config.seeds is None:
        main(config)
        return
    from lowcost_ft.commands.series import run_series  # Not needed for one run.

    run_series(main, config)


def exit_code(action: Callable[[], Any], *, debug: bool, flags: Sequence[str] = ()) -> int:
    """Runs `action` and returns the exit code; errors are printed to standard error.

    Of several processes, the first one on each machine alone explains a user's mistake, which is
    the same in all of them.

    Args:
        action: What to run.
        debug: Whether to show a traceback with each error.
        flags: Names of settings that a command line gives: a message about `model_id` then says
            `--model-id`.
    """
    try:
        action()
    except UserError as error:
        if debug:
            print(redact(traceback.format_exc()), file=sys.stderr)
        if os.environ.get("LOCAL_RANK", "0") == "0":
            text = f"error: {_in_words_of(flags, error)}"
            print(wrapped(text, sys.stderr), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted (Ctrl-C)", file=sys.stderr)
        return 130
    except SystemExit as stop:
        if stop.code == 143:
            print("interrupted (SIGTERM)", file=sys.stderr)
        raise
    except Exception as error:
        if debug:
            print(redact(traceback.format_exc()), file=sys.stderr)
        if problem := disk_problem(error):
            print(
                f"error: cannot write to the disk ({problem}). Free some space or check the "
                "permissions. To continue a training run, run the same command with --resume",
                file=sys.stderr,
            )
            return 2
        if is_out_of_memory(error):
            said = redact(memory_problem(error))
            text = (
                f"error: out of memory ({said}). `lowcost-ft plan` says what "
                "a run needs; --memory-budget cuts its steps to what is there; a smaller model, "
                "adapter or --max-length needs less. A training run that has saved a checkpoint "
                "goes on with --resume"
            )
            print(wrapped(text, sys.stderr), file=sys.stderr)
            return 2
        print(f"failed: {type(error).__name__}: {redact(str(error))}", file=sys.stderr)
        print(
            "This is a bug in lowcost_ft, not your mistake. Add --debug to see where it happened.",
            file=sys.stderr,
        )
        return 1
    return 0


def _in_words_of(flags: Sequence[str], error: UserError) -> UserError:
    """The same problems, without credentials, `--flag:` in front where they name a setting."""
    problems = []
    for problem in error.problems:
        name, colon, rest = problem.partition(":")
        flag = f"--{name.replace('_', '-')}" if name in flags else name
        problems.append(redact(f"{flag}{colon}{rest}"))
    return UserError(problems, total=error.total)
