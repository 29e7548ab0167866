"""What the commands share that use a saved run: their flags, and the run with its model."""

import sys
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from lowcost_ft.config.reading import InputOptions
from lowcost_ft.errors import UserError

__all__ = ["RunFolder", "UseOfRun", "check_threads", "open_run", "print_notices"]

RunFolder = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclass(frozen=True, kw_only=True)
class UseOfRun(InputOptions):
    """Flags of every command that predicts with a saved run."""

    base_model: str | None = None
    """Name or folder of the run's base model, where it is not what run.json names any more."""
    json: bool = False
    """Print JSON: for predictions one object a line, for scores one object."""
    trust_remote_code: bool = False
    """Run model code that comes with the base model. Off unless you trust its author."""
    num_threads: int | None = None
    """CPU threads. Default: OMP_NUM_THREADS if you set it, else the physical cores."""
    debug: bool = False
    """Show a traceback with each error."""


def check_threads(command: Any) -> None:
    """Refuses a number of threads below 1."""
    if command.num_threads is not None and command.num_threads < 1:
        raise UserError(f"--num-threads {command.num_threads} is too small: it must be at least 1")


def open_run(command: Any, notices: list[str]) -> Any:
    """The run with its model, once the input is known to be right.

    Args:
        command: The command.
        notices: What was noticed of the input; they are printed with the model's own.
    """
    from lowcost_ft.pipeline.predictor import load_predictor

    predictor = load_predictor(
        command.run,
        base_model=command.base_model,
        trust_remote_code=command.trust_remote_code,
        num_threads=command.num_threads,
        threshold=command.threshold,
        top_k=getattr(command, "top_k", None),
    )
    predictor.notices[:0] = notices
    return predictor


def print_notices(predictor: Any) -> None:
    """Prints what was noticed of the input and the run to standard error."""
    for notice in predictor.notices:
        print(f"note: {notice}", file=sys.stderr)
