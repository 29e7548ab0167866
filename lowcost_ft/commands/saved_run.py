"""What commands that use a saved run have in common: flags, checks, and opening the run."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from lowcost_ft.config.flags import explanations, narrow, parse_groups
from lowcost_ft.config.reading import InputOptions
from lowcost_ft.errors import UserError
from lowcost_ft.record.run_file import load_run
from lowcost_ft.screen import say
from lowcost_ft.tasks.flags import Command, grouped_flags, without_inputs

__all__ = ["MadeOfRun", "RunFolder", "UseOfRun", "check_threads", "open_run", "parse_use"]
__all__ += ["print_notices", "seed_problems", "share_problems", "task_flag_names"]

Precision = Literal["fp32", "fp16", "int8"]
RunFolder = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclass(frozen=True, kw_only=True)
class UseOfRun(InputOptions):
    """Flags of every command that predicts with a saved run."""

    base_model: str | None = None
    """Name or folder of the run's base model, if it is no longer what run.json names. It is also
    used for a second run, such as that of --ner, if both name the same base model."""
    json: bool = False
    """Print JSON: one object, or for predictions one object a line."""
    trust_remote_code: bool = False
    """Run model code that comes with the base model. Off unless you trust its author."""
    num_threads: int | None = None
    """CPU threads. Default: OMP_NUM_THREADS if you set it, else the physical cores."""
    precision: Precision | None = None
    """Which file of an exported folder to run. Default: the first of fp32, int8 and fp16 that is
    there."""
    debug: bool = False
    """Show a traceback with each error."""
    of_tasks: Annotated[Mapping[str, Any], tyro.conf.Suppress] = field(default_factory=dict)
    """The flags that tasks bring, and their values; those of the run's own task are obeyed."""
    takes_exported: ClassVar[bool] = True
    """Whether RUN may be an exported folder; otherwise there is no `--precision`."""


@dataclass(frozen=True, kw_only=True)
class MadeOfRun:
    """Flags of every command that makes another model of a run."""

    run: RunFolder
    """Folder of a completed run."""
    output_dir: str
    """Folder to write."""
    base_model: str | None = None
    """Name or folder of the run's base model, if it is no longer what run.json names."""
    validation_file: str | None = None
    """Labelled rows to compare answers on, where the run's own data are not at hand. Default: the
    run's validation split."""
    json: bool = False
    """Print the result as one JSON object."""
    trust_remote_code: bool = False
    """Run model code that comes with the base model. Off unless you trust its author."""
    num_threads: int | None = None
    """CPU threads. Default: OMP_NUM_THREADS if you set it, else the physical cores."""
    debug: bool = False
    """Show a traceback with each error."""


def task_flag_names(command: Command) -> set[str]:
    """The flags that tasks bring to a command."""
    return {name for group in grouped_flags(command).values() for name in group}


def parse_use(
    settings: type[UseOfRun], command: Command, arguments: Sequence[str], *, prog: str
) -> Any:
    """Reads a command line of the command's own flags and of those that the tasks bring.

    Args:
        settings: The dataclass of the command's own flags.
        command: The command's name.
        arguments: The command line without the program's name.
        prog: The program's name for `--help`.

    Raises:
        SystemExit: For `--help` and for wrong flags.
    """
    no_flags = {"of_tasks"} | (set() if settings.takes_exported else {"precision"})
    own = [name for name in explanations(settings) if name not in no_flags]
    columns = [one.name for one in fields(InputOptions)]
    groups = {command: [name for name in own if name not in columns], "files": columns}
    more = grouped_flags(command)
    description = narrow(inspect.getdoc(settings) or "")
    values = parse_groups(
        groups, settings, arguments, more=more, prog=prog, description=description
    )
    of_tasks = {name: values.pop(name) for group in more.values() for name in group}
    return settings(**values, of_tasks=of_tasks)


def check_threads(command: Any) -> None:
    """Refuses a number of threads below 1."""
    if command.num_threads is not None and command.num_threads < 1:
        raise UserError(f"--num-threads {command.num_threads} is too small: it must be at least 1")


def seed_problems(seed: int) -> list[str]:
    """What is wrong with the seed of a command: random generators take none below 0."""
    return [f"--seed {seed} is too small: it must be at least 0"] if seed < 0 else []


def share_problems(flag: str, share: float) -> list[str]:
    """What is wrong with a share that a flag gives: it must be from 0 to 1."""
    if 0 <= share <= 1:
        return []
    return [f"{flag} {share} is not a share: give a number from 0 to 1"]


def open_run(
    command: Any,
    notices: Sequence[str] = (),
    *,
    folder: str | None = None,
    keep_adapter: bool = False,
) -> Any:
    """Loads the run with its model; call it once the input is known to be right.

    Args:
        command: The command.
        notices: What was noticed about the input, to be printed before what the model notices.
        folder: Another run than the command's; the command's task flags do not apply to it.
        keep_adapter: Whether an adapter stays beside the weights instead of being merged into them.
    """
    from lowcost_ft.pipeline.load_predictor import load_predictor

    predictor = load_predictor(
        folder or command.run,
        base_model=command.base_model if folder is None else _base_for(command, folder),
        trust_remote_code=command.trust_remote_code,
        num_threads=command.num_threads,
        keep_adapter=keep_adapter,
        precision=command.precision if folder is None else None,
        **(without_inputs(command.of_tasks) if folder is None else {}),
    )
    predictor.notices[:0] = notices
    return predictor


def _base_for(command: Any, folder: str) -> str | None:
    """Where the base model of another run lies: where the command's does, if they share it."""
    if command.base_model is None or not (Path(folder) / "adapter_config.json").is_file():
        return None
    own, other = (load_run(one) for one in (command.run, folder))
    shared = own["model_id"] == other["model_id"] and _revision(own) == _revision(other)
    return str(command.base_model) if shared else None


def _revision(run: Mapping[str, Any]) -> Any:
    return run.get("revision", (run.get("config") or {}).get("revision"))


def print_notices(predictor: Any) -> None:
    """Prints what was noticed of the input and the run to standard error."""
    for notice in predictor.notices:
        say(f"note: {notice}")
