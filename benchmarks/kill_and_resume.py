"""Kills a training run with SIGKILL at random moments, resumes it, and compares the result's bits.

    python benchmarks/kill_and_resume.py --kills 50

Each time a new run of recipes/cached_lora_ner.py starts (a tiny model, dropout, a cache of frozen
layers of its own), dies, and goes on with --resume to its end; its adapter must be that of the run
that nothing happened to. Half of the moments are drawn at random from the time that a run takes;
for the others the script waits until the run is building its cache, writing a checkpoint, or saving
its result. Runs are forks of this process, so that libraries are imported once. The result is
printed, and written to benchmarks/reliability/kill_and_resume.json.
"""

import hashlib
import importlib
import json
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tyro
from child_processes import fork, wait

from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.record.run_file import write_json

ROOT = Path(__file__).resolve().parent.parent
MOMENTS = ("cache", "checkpoint", "saving")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How often, and where the result goes."""

    kills: int = 50
    """Runs that are killed, resumed and compared."""
    seed: int = 0
    """Of the moments."""
    output: Path = ROOT / "benchmarks" / "reliability" / "kill_and_resume.json"
    """The result."""


def main(options: Options) -> int:
    """Returns 0 if every resumed run gave the same bits."""
    for name in ("lowcost_ft.pipeline.save", "peft", "transformers.models.bert.modeling_bert"):
        importlib.import_module(name)  # Every fork has them afterwards.
    draw = random.Random(options.seed)
    records: list[dict[str, Any]] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        arguments = prepare(Path(folder))
        whole = Trial(Path(folder) / "whole", arguments)
        seconds = whole.finish()
        print(f"a run takes {seconds:.1f} s", flush=True)
        while len(records) < options.kills:
            number = len(records)
            moment = MOMENTS[number // 2 % len(MOMENTS)] if number % 2 else "any"
            trial = Trial(Path(folder) / f"trial-{number}", arguments)
            if not trial.kill(moment, draw.uniform(0, seconds), give_up=4 * seconds + 60):
                continue  # It had come to its end before.
            found: dict[str, Any] = {"moment": moment, "during": trial.state()}
            trial.finish("--resume")
            found["resumed_at_steps"] = trial.record()["train"]["resumed_at_steps"]
            found["identical"] = trial.digest() == whole.digest()
            records.append(found)
            print(f"{number + 1:4} {found}", flush=True)
            shutil.rmtree(trial.folder)
            shutil.rmtree(trial.cache)
        digest = whole.digest()
    identical = sum(bool(record["identical"]) for record in records)
    result = {
        "kills": len(records),
        "identical": identical,
        "during": dict(Counter(str(record["during"]) for record in records)),
        "sha256_of_the_adapter": digest,
        "seconds_of_a_run": round(seconds, 2),
        "seconds": round(time.monotonic() - started, 1),
        "seed": options.seed,
        "records": records,
        "versions": versions(),
        "hardware": hardware(),
        "git": git_state(),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, result)
    print(f"{identical} of {len(records)} resumed runs gave the same bits")
    return int(identical != len(records))


def prepare(folder: Path) -> list[str]:
    """Makes data and a tiny model; returns the flags of every run."""
    sys.path.append(str(ROOT / "tests"))
    small_runs = importlib.import_module("small_runs")
    make_tiny = importlib.import_module("tiny").make_tiny
    model = folder / "model"
    wait(fork(lambda: make_tiny("bert", model)))
    flags = {"model-id": model, "trainable-layers": 1, "lora-dropout": 0.1, "max-length": 48}
    flags |= {"num-train-epochs": 8, "early-stopping-patience": 0, "batch-size": 8}
    flags |= {"checkpoint-every-steps": 3}
    for seed, (split, count) in enumerate({"train": 80, "validation": 40, "test": 40}.items()):
        rows = small_runs.ner_rows(count, seed=seed)
        flags[f"{split}-file"] = small_runs.write_jsonl(folder / f"{split}.jsonl", rows)
    return [part for name, value in flags.items() for part in (f"--{name}", str(value))]


class Trial:
    """One run folder and its cache."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self.folder = folder
        self.cache = folder.with_name(f"{folder.name}-cache")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.cache, ignore_errors=True)
        paths = ["--output-dir", str(folder), "--cache-dir", str(self.cache)]
        self.arguments = [*arguments, *paths]

    def start(self, *more: str) -> int:
        """Starts the recipe in a fork; returns its process id."""
        return fork(lambda: run_recipe([*self.arguments, *more], self.folder.with_suffix(".log")))

    def finish(self, *more: str) -> float:
        """Runs to the end; returns how many seconds that took."""
        began = time.monotonic()
        code = wait(self.start(*more))
        if code:
            log = self.folder.with_suffix(".log").read_text("utf-8")
            raise SystemExit(f"a run ended with exit code {code}:\n{log[-3000:]}")
        return time.monotonic() - began

    def kill(self, moment: str, seconds: float, *, give_up: float) -> bool:
        """Starts the run and kills it; returns whether it was still going on."""
        process, began = self.start(), time.monotonic()
        # The first checkpoints are as good as the last: some pass by.
        left = int(seconds * 1000) % 20 if moment == "checkpoint" else 0
        before = ""
        while True:
            elapsed = time.monotonic() - began
            if os.waitpid(process, os.WNOHANG)[0]:
                return False
            if elapsed > give_up:
                moment, seconds = "any", 0.0
            if moment == "any" and elapsed >= seconds:
                break
            state = self.state() if moment != "any" else ""
            if state == moment != before:
                if not left:
                    break
                left -= 1
            before = state
            time.sleep(0.0003)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return not (self.folder / "run.json").exists()

    def state(self) -> str:
        """What the run is doing, or was doing when it was killed, by what lies on the disk."""
        if (self.folder / "run.json").exists():
            return "complete"
        if any(self.folder.glob("adapter*")):
            return "saving"
        checkpoints = self.folder / "checkpoints"
        if any(checkpoints.glob(".*")):
            return "checkpoint"
        if any(self.cache.glob("*.partial")):
            return "cache"
        return "training" if checkpoints.exists() else "before training"

    def record(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "run.json").read_text("utf-8")))

    def digest(self) -> str:
        data = (self.folder / "adapter_model.safetensors").read_bytes()
        return hashlib.sha256(data).hexdigest()


def run_recipe(arguments: Sequence[str], log: Path) -> None:
    """The recipe as `python recipes/cached_lora_ner.py ARGUMENTS` runs it, its output in a file."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    recipe = ROOT / "recipes" / "cached_lora_ner.py"
    sys.argv = [str(recipe), *arguments]
    sys.path.insert(0, str(recipe.parent))
    runpy.run_path(str(recipe), run_name="__main__")


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
