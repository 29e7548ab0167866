"""How to repeat a run: the command, and what else its result depended on."""

import shlex
from dataclasses import fields

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.tasks import task_names
from lowcost_ft.report.collect import Result
from lowcost_ft.report.labels import NOT_A_SETTING, unusual_dropout

__all__ = ["facts_of", "repeat_command"]

_FILES = ("train_file", "validation_file", "test_file", "dataset")
_DEFAULTS = {field.name: field.default for field in fields(RunConfig)}
_ALWAYS = ("model_id", "num_train_epochs", "seed")
"""Given also where they hold their default: the recipe may have another."""


def repeat_command(result: Result) -> str | None:
    """The command that gives the same run again, with the number of threads it had.

    The number of threads decides in which order numbers are summed up, and so the last digits.
    Where no recipe's command was recorded, as for a run from Python, it is made from the settings;
    None where there are none, and for data that were given in Python.
    """
    if result.get("data", "in_python"):
        return None
    command = result.get("command")
    if isinstance(command, list) and command and str(command[0]).endswith(".py"):
        parts = _without_places([str(part) for part in command])
        if len(parts) < len(command) and any(str(p).startswith("--seeds") for p in command):
            parts += ["--seed", str(result.get("seed"))]  # Of a series, this run alone.
    elif result.table("config") and result.get("task") in task_names():
        parts = [f"recipes/lora_{result.get('task')}.py", *_flags(result)]
    else:
        return None
    # The default was another one when the oldest runs were recorded.
    dropout, of_suite = unusual_dropout(result), parts[0].endswith("compare_methods.py")
    if dropout is not None and not of_suite and "--dropout" not in parts:
        parts += ["--dropout", str(dropout)]
    threads = result.get("hardware", "threads")
    on_cpu = result.get("train", "peak_memory_source") == "cpu_allocator"
    if threads and on_cpu and "--num-threads" not in parts:
        parts += ["--num-threads", str(threads)]
    return shlex.join(["python", *parts])


def _without_places(parts: list[str]) -> list[str]:
    """A command that writes to a folder of its own, and leaves the run that it repeats alone."""
    kept = []
    skip = False
    for part in parts:
        with_value = part.startswith(("--output-dir=", "--seeds="))
        if skip or part in ("--overwrite", "--resume") or with_value:
            skip = False
        elif part in ("--output-dir", "--seeds"):
            skip = True
        else:
            kept.append(part)
    return kept


def _flags(result: Result) -> list[str]:
    """The settings that LoRA's recipes do not have anyhow, as flags."""
    flags = []
    for name, value in result.table("config").items():
        left_out = name in NOT_A_SETTING and name not in (*_FILES, *_ALWAYS)
        same = value == _DEFAULTS.get(name) and name not in _ALWAYS
        if left_out or same or value is None or name not in _DEFAULTS or name == "task":
            continue
        if name == "micro_batch_tokens" and result.get("config", "gradient_accumulation_steps"):
            continue  # The pieces were given, and the tokens were not.
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            flags += [f"--{flag}", str(value)]
    return flags


def facts_of(result: Result) -> list[tuple[str, str]]:
    """What a run depended on: names and texts."""
    commit, dirty = result.get("git", "commit"), result.get("git", "dirty")
    changed = " with uncommitted changes" if dirty else ""
    rows = result.table("data", "rows")
    hardware = result.table("hardware")
    gpus = ", ".join(str(gpu.get("name")) for gpu in result.rows("hardware", "gpus"))
    memory = result.number("hardware", "ram_bytes")
    machine = [
        f"{hardware.get('cpu')}, cores: {hardware.get('cores')}",
        f"threads: {hardware.get('threads')}",
        f"{memory / 1e9:.0f} GB" if memory else "",
        gpus or "no GPU",
        f"processes: {hardware['processes']}" if hardware.get("processes") else "",
    ]
    versions = result.table("versions")
    facts = [
        ("status", str(result.get("status")).replace("_", " ")),
        ("error", str(result.get("error") or "")),
        ("commit", f"{commit}{changed}" if commit else ""),
        ("versions", ", ".join(f"{name} {number}" for name, number in versions.items() if number)),
        ("hardware", ", ".join(part for part in machine if part) if hardware else ""),
        ("rows", ", ".join(f"{rows[name]} {name}" for name in rows)),
        ("data fingerprint", str(result.get("data", "fingerprint") or "")),
        ("notices", "; ".join(map(str, result.get("data", "notices") or []))),
    ]
    return [(name, text) for name, text in facts if text]
