"""What `lowcost-ft tune` finds on the samples, what it costs, and whether kills lose anything.

    python benchmarks/tune.py search                 # both samples, 20 trials each
    python benchmarks/tune.py kills --times 50       # a search that is killed with SIGKILL
    python benchmarks/tune.py limit --room-mb 600    # trials under a limit on the process's data

`search` runs the command as a user would. `kills` kills a small search at random moments and goes
on until it ends, and compares its trials with those of a search that was left alone. `limit` sets
RLIMIT_DATA, tries the same large settings with the memory plan and without it, and counts deaths.
Each leaves its part of `benchmarks/tune.json`.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.record.run_file import write_json

FILE = Path(__file__).resolve().parent / "tune.json"
ROOT = FILE.parent.parent
TUNE = [sys.executable, "-m", "lowcost_ft", "tune"]
IMPORTED = (
    "lowcost_ft.pipeline.evaluate, lowcost_ft.scores.offline_metrics, optuna, peft, transformers"
)
SMALL = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "lora_r": [8, 16, 32]}
LARGE: dict[str, Any] = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "lora_r": [32, 512, 4096, 8192],
    "batch_size": [16, 64],
}


@dataclass(frozen=True, kw_only=True)
class Searching:
    """Tunes the recipes of both samples."""

    trials: int = 20
    """Trials of each."""
    recipes: str = "lora_ner,lora_classification"
    """Comma-separated recipes."""
    runs_dir: Path = Path("runs/tune-benchmark")
    """Where searches go; one that is there already goes on."""
    flags: str = ""
    """Further flags, for a quick try."""


@dataclass(frozen=True, kw_only=True)
class Killing:
    """Kills a search again and again."""

    times: int = 50
    """Kills."""
    trials: int = 9
    """Trials of the search."""
    seed: int = 0
    """Of the moments."""
    flags: str = "--num-train-epochs 9 --trainable-layers 1 --cache-frozen-layers"
    """Flags of the recipe, which make it small."""


@dataclass(frozen=True, kw_only=True)
class Limiting:
    """Tries large settings under a limit on the process's data."""

    room_mb: int = 600
    """Data that the process may have beyond what Python and its libraries take."""
    trials: int = 9
    """Trials of the search, and random settings without the plan."""
    flags: str = "--num-train-epochs 1"
    """Flags of the recipe."""


def keep(part: str, value: Any) -> None:
    """Writes a part of the results, and beside it what it was measured with."""
    made = {"git": git_state(), "versions": versions(), "hardware": hardware()}
    write_json(FILE, _known() | {part: {"results": value, **made}})


def _known() -> dict[str, Any]:
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}


def searching(options: Searching) -> None:
    """Runs the command, and keeps what it says without its trials' folders."""
    found = dict(_known().get("search", {}).get("results", {}))
    for recipe in options.recipes.split(","):
        folder = options.runs_dir / recipe
        command = [*TUNE, str(ROOT / "recipes" / f"{recipe}.py"), "--trials", str(options.trials)]
        command += ["--output-dir", str(folder), "--json", *options.flags.split()]
        if (folder / "tune.db").exists():
            command.append("--resume")
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        answer = json.loads(done.stdout.replace(f"{ROOT}/", ""))
        found[recipe] = {name: value for name, value in answer.items() if name != "folder"}
        found[recipe]["git"] = git_state()
        keep("search", found)


def killing(options: Killing) -> None:
    """Compares a search that was killed with one that was not."""
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        space = Path(scratch) / "space.json"
        space.write_text(json.dumps(SMALL), "utf-8")
        recipe = str(ROOT / "recipes" / "lora_classification.py")
        command = [*TUNE, recipe, "--search", str(space), "--trials", str(options.trials)]
        command += ["--fresh-seeds", "0", *options.flags.split()]
        whole, killed = Path(scratch) / "whole", Path(scratch) / "killed"
        started = time.monotonic()
        subprocess.run([*command, "--output-dir", str(whole)], check=True)
        seconds = time.monotonic() - started
        kills = 0
        while True:
            again = [*command, "--output-dir", str(killed)]
            if (killed / "tune.db").exists():
                again.append("--resume")
            process = subprocess.Popen(again, stdout=subprocess.DEVNULL)
            if kills >= options.times:
                if process.wait():
                    raise SystemExit("the search did not end")
                break
            try:
                # Mostly while a trial trains: loading takes longer than a short trial.
                process.wait(timeout=draw.uniform(1, 12 + seconds / options.trials))
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
        answers = [
            json.loads((folder / "tune.json").read_text("utf-8")) for folder in (whole, killed)
        ]
    kept = ("number", "params", "scores", "state")
    same = [[{name: t[name] for name in kept} for t in answer["trials"]] for answer in answers]
    keep("kills", {"kills": kills, "trials": len(same[0]), "equal": same[0] == same[1]})
    print(f"{kills} kills; equal: {same[0] == same[1]}")


def limiting(options: Limiting) -> None:
    """Counts how many trials die with the memory plan, and without it."""
    with tempfile.TemporaryDirectory() as scratch:
        space, folder = Path(scratch) / "space.json", Path(scratch) / "tune"
        space.write_text(json.dumps(LARGE), "utf-8")
        recipe = str(ROOT / "recipes" / "lora_classification.py")
        runtime = _data_of(f"import {IMPORTED}")
        limit = runtime + options.room_mb * 1_000_000
        command = [*TUNE, recipe, "--search", str(space), "--trials", str(options.trials)]
        command += ["--output-dir", str(folder), "--fresh-seeds", "0", *options.flags.split()]
        done = subprocess.run(command, preexec_fn=lambda: _limited(limit))
        answer = json.loads((folder / "tune.json").read_text("utf-8"))
        states = [trial["state"] for trial in answer["trials"]]
        draw = random.Random(0)
        died = 0
        for number in range(options.trials):
            rank, rows = draw.choice(LARGE["lora_r"]), draw.choice(LARGE["batch_size"])
            alone = [sys.executable, recipe, "--lora-r", str(rank), "--batch-size", str(rows)]
            alone += ["--output-dir", f"{scratch}/random-{number}", *options.flags.split()]
            died += subprocess.run(alone, preexec_fn=lambda: _limited(limit)).returncode != 0
    found = {
        "limit_bytes": limit,
        "exit_code": done.returncode,
        "trials": len(states),
        "not_started": states.count("refused"),
        "failed": states.count("failed"),
        "random_trials": options.trials,
        "random_trials_that_died": died,
    }
    keep("limit", found)
    print(json.dumps(found, indent=2))


def _limited(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _data_of(imports: str) -> int:
    """Bytes of data that a process has after these imports."""
    show = "print(next(l.split()[1] for l in open('/proc/self/status') if l[:7] == 'VmData:'))"
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{show}"], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1]) * 1024


Command = (
    Annotated[Searching, tyro.conf.subcommand("search")]
    | Annotated[Killing, tyro.conf.subcommand("kills")]
    | Annotated[Limiting, tyro.conf.subcommand("limit")]
)


def main() -> None:
    """Runs what was asked for."""
    options: Any = tyro.cli(Command, description=__doc__)
    if isinstance(options, Searching):
        searching(options)
    elif isinstance(options, Killing):
        killing(options)
    else:
        limiting(options)


if __name__ == "__main__":
    main()
