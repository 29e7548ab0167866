"""Trains for thousands of optimizer steps and watches whether the process keeps growing.

    python benchmarks/soak.py --steps 2000

A tiny model, with an evaluation every 10 steps and a checkpoint every 20. Growth is the most
resident memory after the first 200 steps against the most until then. The result is printed, and
written to benchmarks/reliability/soak.json.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import tyro

from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.record.run_file import write_json

ROOT = Path(__file__).resolve().parent.parent
SETTLED_STEPS = 200
CHECKPOINT_STEPS = 20


@dataclass(frozen=True, kw_only=True)
class Options:
    """How long, and where the result goes."""

    steps: int = 2000
    """Optimizer steps."""
    output: Path = ROOT / "benchmarks" / "reliability" / "soak.json"
    """The result."""


def main(options: Options) -> int:
    """Returns 0 if the memory stayed within 2%."""
    sys.path.append(str(ROOT / "tests"))
    small_runs, tiny = importlib.import_module("small_runs"), importlib.import_module("tiny")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flags = {"model-id": tiny.make_tiny("bert", folder / "model"), "max-steps": options.steps}
        flags |= {"batch-size": 8, "early-stopping-patience": 0, "lora-dropout": 0.1}
        flags |= {"checkpoint-every-steps": CHECKPOINT_STEPS, "output-dir": folder / "run"}
        for seed, (split, count) in enumerate({"train": 80, "validation": 40, "test": 40}.items()):
            rows = small_runs.ner_rows(count, seed=seed)
            flags[f"{split}-file"] = small_runs.write_jsonl(folder / f"{split}.jsonl", rows)
        arguments = [part for key, value in flags.items() for part in (f"--{key}", str(value))]
        samples = watch(arguments, folder / "run")
        train = json.loads((folder / "run" / "run.json").read_text("utf-8"))["train"]
    until = max(held for step, held in samples if step <= SETTLED_STEPS)
    after = max(held for step, held in samples if step > SETTLED_STEPS)
    growth = after / until - 1
    result = {
        "optimizer_steps": train["optimizer_steps"],
        "evaluations": len(train["validation_history"]),
        "checkpoints": options.steps // CHECKPOINT_STEPS,
        "resident_bytes_until_step_200": until,
        "resident_bytes_after": after,
        "growth": round(growth, 5),
        "by_step": thinned(samples),
        "versions": versions(),
        "hardware": hardware(),
        "git": git_state(),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, result)
    print(
        f"{train['optimizer_steps']:,} steps: {until / 1e6:,.1f} MB in the first {SETTLED_STEPS},"
    )
    print(f"{after / 1e6:,.1f} MB after that: {growth:+.2%}")
    return int(growth >= 0.02)


def watch(arguments: list[str], folder: Path) -> list[tuple[int, int]]:
    """Runs the recipe; returns optimizer steps and resident bytes, several times a second."""
    recipe = str(ROOT / "recipes" / "lora_ner.py")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    program = subprocess.Popen([sys.executable, recipe, *arguments], env=environment)
    process, samples = psutil.Process(program.pid), []
    while program.poll() is None:
        steps = [int(path.name[5:]) for path in folder.glob("checkpoints/step-*")]
        if steps:  # Training has begun, and with it what it needs.
            try:
                samples.append((max(steps), process.memory_info().rss))
            except psutil.Error:
                break
        if (folder / "adapter_config.json").exists():
            break  # What comes now loads a second model, to compare.
        time.sleep(0.1)
    if program.wait():
        raise SystemExit(f"the run ended with exit code {program.returncode}")
    return samples


def thinned(samples: list[tuple[int, int]]) -> list[list[int]]:
    """The most bytes for each hundred steps."""
    most: dict[int, int] = {}
    for step, held in samples:
        most[step // 100 * 100] = max(held, most.get(step // 100 * 100, 0))
    return [[step, held] for step, held in sorted(most.items())]


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
