"""The flags of `predict`, `evaluate` and their like that tasks bring, and whose they are."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from lowcost_ft.config.checks import range_problems, settle_types
from lowcost_ft.config.tasks import task_names, task_settings
from lowcost_ft.errors import UserError
from lowcost_ft.tasks import task_class

__all__ = ["Command", "NoFlags", "grouped_flags", "input_problems", "own_flags", "without_inputs"]

Command = Literal["predict", "evaluate", "explain", "attack", "audit"]


@dataclass(frozen=True, kw_only=True)
class NoFlags:
    """The flags of a task that brings none."""


def _flags_of(task: str, command: Command) -> type:
    found: type = getattr(task_class(task), f"{command}_flags") or NoFlags
    return found


def grouped_flags(command: Command) -> dict[str, dict[str, type]]:
    """The flags that all tasks together bring to a command.

    Returns:
        The title of the task, or of the tasks, that have them -> flag -> the dataclass that
        explains it.
    """
    owners: dict[str, list[str]] = {}
    classes: dict[str, type] = {}
    for task in task_names():
        settings = _flags_of(task, command)
        for field in fields(settings):
            owners.setdefault(field.name, []).append(task_settings(task).title)
            classes.setdefault(field.name, settings)
    groups: dict[str, dict[str, type]] = {}
    for name, titles in owners.items():
        groups.setdefault(" and ".join(titles), {})[name] = classes[name]
    return groups


def own_flags(task: str, given: Mapping[str, Any], *, command: Command = "predict") -> Any:
    """The flags of one task, from what was given of all tasks' flags.

    Args:
        task: Name of the task.
        given: Flag -> value. A flag of another task may be there with its default.
        command: Whose flags they are.

    Returns:
        The task's dataclass of flags.

    Raises:
        UserError: A flag belongs to other tasks or to none, or its value is out of bounds.
    """
    settings = _flags_of(task, command)
    own = {field.name for field in fields(settings)}
    known = {
        name: (title, owner)
        for title, group in grouped_flags(command).items()
        for name, owner in group.items()
    }
    problems = []
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')}"
        if name in own:
            continue
        if name not in known:
            shown = ", ".join(sorted(own)) or "none"
            problems.append(f"{flag} is unknown; flags of {task_settings(task).title}: {shown}")
            continue
        title, owner = known[name]
        default = next(field.default for field in fields(owner) if field.name == name)
        if value != default:
            problems.append(
                f"{flag} is for {title}; this run is {task_settings(task).title}: leave it out"
            )
    flags = settings(**{name: value for name, value in given.items() if name in own})
    problems += settle_types(flags) or range_problems(flags)
    if problems:
        raise UserError(problems)
    return flags


def without_inputs(given: Mapping[str, Any]) -> dict[str, Any]:
    """Flags of all tasks without those that say what is predicted.

    Args:
        given: Flag -> value.
    """
    inputs = {name for task in task_names() for name in task_class(task).input_flags}
    return {name: value for name, value in given.items() if name not in inputs}


def input_problems(task: str, given: Mapping[str, Any]) -> list[str]:
    """What is wrong with a predictor in Python that is told what to predict as it is loaded.

    Args:
        task: Name of the task.
        given: Flag -> value.
    """
    return [
        f"{name} is for the command line; in Python {instead}"
        for name, instead in task_class(task).input_flags.items()
        if given.get(name) is not None
    ]
