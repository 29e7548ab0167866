"""What settings need to know of each task: its names, the settings that are its own, its defaults.

The tasks themselves live in `lowcost_ft/tasks`, which puts them into this table when the package is
imported. Nothing here imports PyTorch, so that `--help` does not wait for it.
"""

from dataclasses import dataclass
from typing import Literal

from lowcost_ft.errors import UserError

__all__ = [
    "TaskSettings",
    "default_task",
    "register_task",
    "task_names",
    "task_settings",
    "unusable_settings",
]


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """One task, as settings know it.

    Attributes:
        name: Its name in `run.json`.
        title: What people call it, such as "text classification".
        module: The module that holds it, imported when it is used; its `TASK` is the class.
        fields: Settings that this task has and some other tasks do not have.
        default: Whether `RunConfig` means this task where none is named.
        dropout: What `--dropout auto` comes to: a probability, or "model" for the model's own.
        averages: Whether `--ema auto` keeps an average of adapters, as it was measured to help.
        max_length: Longest input of the task's recipe, in tokens, which a plan takes as well.
        max_target_length: Longest target of the task's recipe, in tokens, where it writes.
    """

    name: str
    title: str
    module: str
    fields: frozenset[str] = frozenset()
    default: bool = False
    dropout: float | Literal["model"] = "model"
    averages: bool = False
    max_length: int = 128
    max_target_length: int = 128


_TASKS: dict[str, TaskSettings] = {}


def register_task(settings: TaskSettings) -> None:
    """Adds a task, or replaces the one of the same name."""
    _TASKS[settings.name] = settings


def task_names() -> list[str]:
    """The names of all tasks, in the order in which they were added."""
    return list(_TASKS)


def default_task() -> str:
    """The name of the task that settings mean when they do not name one."""
    return next(task.name for task in _TASKS.values() if task.default)


def task_settings(name: str) -> TaskSettings:
    """The settings of a task.

    Raises:
        UserError: There is no task of this name.
    """
    if name not in _TASKS:
        raise UserError(f"task: {name!r} is unknown; known: {', '.join(_TASKS)}")
    return _TASKS[name]


def unusable_settings(name: str) -> dict[str, str]:
    """Settings that a task does not have, each with the titles of the tasks that have it."""
    own = task_settings(name).fields
    others = [task for task in _TASKS.values() if task.name != name]
    fields = sorted({field for task in others for field in task.fields} - own)
    return {field: _joined([t.title for t in others if field in t.fields]) for field in fields}


def _joined(titles: list[str]) -> str:
    """Titles with commas between them, and `and` before the last."""
    *first, last = titles
    return f"{', '.join(first)} and {last}" if first else last
