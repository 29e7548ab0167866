"""One run of a suite: started as a user would start it, and its record kept whatever happens."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from random_models import write_random_model, write_texts
from suites import Entry

from lowcost_ft.config.run import RunConfig
from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.record.run_file import SCHEMA_VERSION, load_record

__all__ = ["Place", "is_finished", "other_settings", "run_entry"]

ROOT = Path(__file__).resolve().parent.parent
_RANDOM_ROWS = 400
_KILLED = (-9, 137)
"""How a process ends that the system killed, which is what it does when memory is out."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where runs happen.

    Attributes:
        scratch: Folder for run folders, caches and random models, which do not stay.
        data_dir: Folder of the public data sets.
        suite: Name of the suite, for the record.
        keep_predictions: Whether predictions stay, beside the result: the user's own data.
    """

    scratch: Path
    data_dir: Path | None
    suite: str
    keep_predictions: bool


def is_finished(file: Path) -> bool:
    """Whether a result need not be run again: it completed, or there was not enough memory."""
    if not file.exists():
        return False
    return load_record(file)["status"] in ("completed", "out_of_memory")


def other_settings(file: Path, entry: Entry, seed: int, suite: str) -> str | None:
    """The command of a finished result that is there already, where it is not that of the entry.

    The number of threads may differ. A record without a command is older than commands are. One
    that is older than today's default of `--dropout` may have trained with another: then that is
    named, too.
    """
    if not is_finished(file) or not (recorded := load_record(file).get("command")):
        return None
    if _threadless(recorded) != _threadless(_command(entry, seed, suite)):
        return shlex.join(recorded)
    before = load_record(file)["config"].get("dropout")
    before = "model" if before is None else before
    return None if before == _dropout(entry) else f"{shlex.join(recorded)} --dropout {before}"


def _dropout(entry: Entry) -> float | str:
    """What the dropout of an entry comes to."""
    task = _task_of(entry)
    given: Any = _settings(entry.flags).get("dropout", "auto")
    dropout = given if given in ("auto", "model") else float(given)
    return RunConfig(task=task, dropout=dropout).settled_dropout


def _task_of(entry: Entry) -> str:
    """The task of a program, which is in its name."""
    named = (task for task in ("classification", "relation") if task in entry.program)
    return next(named, "ner")


def _threadless(command: list[str]) -> list[str]:
    if "--num-threads" not in command:
        return command
    at = command.index("--num-threads")
    return command[:at] + command[at + 2 :]


def _command(entry: Entry, seed: int, suite: str) -> list[str]:
    """The command to run an entry again, on any machine."""
    if entry.shape is not None:
        again = ["benchmarks/compare_methods.py", "--suite", suite, "--only", entry.name]
        return [*again, "--seeds", str(seed), "--results-dir", "runs/again"]
    files = [part for flag, name in entry.files.items() for part in (f"--{flag}", f"DATA/{name}")]
    return [entry.program, *entry.flags, "--seed", str(seed), *files]


def run_entry(entry: Entry, seed: int, file: Path, place: Place) -> str:
    """Runs an entry once and writes its record.

    Args:
        entry: What to run.
        seed: Of the run.
        file: Where the record goes.
        place: Where the run happens.

    Returns:
        The status of the run.
    """
    folder = place.scratch / "run"
    shutil.rmtree(folder, ignore_errors=True)
    flags = [*entry.flags, "--seed", str(seed)]
    for flag, name in entry.files.items():
        assert place.data_dir is not None
        flags += [f"--{flag}", str(place.data_dir / name)]
    if entry.shape is not None:
        flags += _random_flags(entry.shape, entry.text_tokens, place.scratch)
    # A cache of one's own: building it is part of what the method costs.
    cache = place.scratch / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    places = ["--output-dir", str(folder)]
    if "--cache-frozen-layers" in flags:
        places += ["--cache-dir", str(cache)]
    code, complaints = _call([sys.executable, str(ROOT / entry.program), *flags, *places], place)
    sys.stderr.write(complaints)
    record = folder / "run.json"
    if record.exists():
        run = load_record(record)
    else:
        run = _record_of_a_death(entry, seed, code, complaints)
    run = _tidy(run, entry, seed, place) | {"command": _command(entry, seed, place.suite)}
    text = json.dumps(run, indent=1, ensure_ascii=False) + "\n"
    file.write_text(text, "utf-8", errors="backslashreplace")
    if place.keep_predictions and (folder / "predictions.jsonl").exists():
        shutil.copyfile(folder / "predictions.jsonl", file.with_suffix(".predictions.jsonl"))
    return str(run["status"])


def _call(command: Sequence[str], place: Place) -> tuple[int, str]:
    """Runs a program and shows what it prints; returns its exit code and standard error.

    Lines that name the scratch folder are left out: it will be gone when somebody follows them.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        with process:
            for line in process.stdout or ():
                if str(place.scratch) not in line:
                    print(line, end="", flush=True)
        errors.seek(0)
        return process.returncode, errors.read()


def _random_flags(shape: str, tokens: int, scratch: Path) -> list[str]:
    model, texts = scratch / "models" / shape, scratch / f"texts-{tokens}.csv"
    if not model.exists():
        # One at a time: a large one takes 16 GB.
        shutil.rmtree(scratch / "models", ignore_errors=True)
        write_random_model(shape, model)
    if not texts.exists():
        write_texts(texts, tokens=tokens, rows=_RANDOM_ROWS)
    return ["--model-id", str(model), "--train-file", str(texts)]


def _record_of_a_death(entry: Entry, seed: int, code: int, printed: str) -> dict[str, Any]:
    """The record of a run that could not write its own: refused, crashed, or killed."""
    flags = entry.flags

    def flag(name: str, default: str) -> str:
        return flags[flags.index(name) + 1] if name in flags else default

    return {
        "schema_version": SCHEMA_VERSION,
        "status": "out_of_memory" if code in _KILLED else "failed",
        "task": _task_of(entry),
        "model_id": entry.shape or flag("--model-id", ""),
        "method": flag("--method", "lora"),
        "seed": seed,
        "config": _settings(flags)
        | {
            "method": flag("--method", "lora"),
            "quantization": flag("--quantization", "none"),
            "dropout": _dropout(entry),
            "train_file": entry.files.get("train-file") or flag("--train-file", "") or None,
        },
        "versions": versions(),
        "hardware": hardware(),
        "git": git_state(),
        "error": printed.strip()[-2000:] or f"the process ended with code {code}",
    }


def _settings(flags: Sequence[str]) -> dict[str, Any]:
    """Flags as the fields of a configuration, which tell the run from others."""
    settings: dict[str, Any] = {}
    for flag, value in zip(flags, (*flags[1:], "--"), strict=True):
        if flag.startswith("--"):
            given: Any = int(value) if value.isdigit() else value
            settings[flag[2:].replace("-", "_")] = True if value.startswith("--") else given
    return settings


def _tidy(run: dict[str, Any], entry: Entry, seed: int, place: Place) -> dict[str, Any]:
    """A record without the places of this machine, which say nothing about the result."""
    config = run["config"] | {"output_dir": None, "cache_dir": None}
    for flag, name in entry.files.items():
        config[flag.replace("-", "_")] = name
    benchmark: dict[str, Any] = {"suite": place.suite, "name": entry.name}
    if entry.files:
        benchmark["places"] = "DATA is the folder with the data sets: benchmarks/README.md"
    if entry.shape is not None:
        run["model_id"] = config["model_id"] = f"random/{entry.shape}"
        config["train_file"] = f"texts of {entry.text_tokens} tokens"
    if entry.no_scores:
        benchmark["no_scores"] = entry.no_scores
        run["evaluation"] = {}
    if "data" in run:
        prefixes = [f"{place.scratch}/", *([f"{place.data_dir}/"] if place.data_dir else [])]
        for prefix in prefixes:
            notices = run["data"].get("notices", [])
            run["data"]["notices"] = [notice.replace(prefix, "") for notice in notices]
    return run | {"config": config, "benchmark": benchmark}
