"""Whether a run ended while it was still getting better, and the command that trains for longer."""

import math
import shlex
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lowcost_ft.tasks import task_class

__all__ = ["longer_command", "longer_may_help"]

_REPLACED = ("--num-train-epochs", "--max-steps", "--output-dir", "--seeds")
_DROPPED = ("--resume", "--overwrite")


def longer_may_help(record: Mapping[str, Any]) -> bool:
    """Whether the last epoch was the best, with a score that can still rise.

    Args:
        record: The content of `run.json`.
    """
    train = record.get("train") or {}
    history = train.get("validation_history") or []
    if not history or train.get("stopped_early"):
        return False
    # Not every epoch is scored, and the last one may have been cut short by --max-steps.
    if train.get("best_epoch") != math.ceil(history[-1].get("epoch", len(history)) - 1e-6):
        return False
    metric = record.get("metric") or task_class(record["task"]).from_record(record).metric
    score = history[-1].get(metric)
    return not isinstance(score, int | float) or score < 1


def longer_command(record: Mapping[str, Any], folder: Path) -> str | None:
    """The run's command for twice as long, into a folder of its own.

    Returns:
        None for a run that was not started by a recipe.
    """
    words = [str(word) for word in record.get("command") or ()]
    if not words or not words[0].endswith(".py"):
        return None
    config = record["config"]
    name = "max_steps" if config.get("max_steps") else "num_train_epochs"
    number = 2 * int(config[name])
    kept, given = _without(words)
    kept += [f"--{name.replace('_', '-')}", str(number)]
    if "--seeds" in given:
        kept += ["--seed", str(record["seed"])]
    if "--output-dir" in given:
        # The run's own is taken; without the flag a free one is found.
        unit = "steps" if name == "max_steps" else "epochs"
        kept += ["--output-dir", f"{folder}-{number}-{unit}"]
    several = (record.get("hardware") or {}).get("processes", 1) > 1
    start = ["accelerate", "launch"] if several else [_python()]
    return shlex.join([*start, *kept])


def _without(words: list[str]) -> tuple[list[str], set[str]]:
    """A command without the flags that another run needs otherwise, and which they were."""
    kept: list[str] = []
    given: set[str] = set()
    skip = False
    for word in words:
        flag = word.partition("=")[0].replace("_", "-") if word.startswith("--") else ""
        if skip:
            skip = False
        elif flag in _REPLACED:
            given.add(flag)
            skip = "=" not in word
        elif flag not in _DROPPED:
            kept.append(word)
    return kept, given


def _python() -> str:
    """How to call Python from here: by name only in an activated environment."""
    found = shutil.which("python")
    if found and Path(found).resolve() == Path(sys.executable).resolve():
        return "python"
    program = Path(sys.executable)
    with suppress(ValueError):
        program = program.relative_to(Path.cwd())
    return str(program)
