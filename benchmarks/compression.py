"""What distillation keeps of a score: a teacher, and students of half its layers, with and without.

    python benchmarks/compression.py ../shared/data
    python benchmarks/compression.py ../shared/data --data banking77 --seeds 0 --threads 2

Each finished run leaves its run.json in benchmarks/results/compression. Runs that are there are not
repeated. At the end, or with `--seeds ""`, the summary benchmarks/compression.json is written from
them: scores, their shares of the teacher's, and how much faster the student predicts the test set,
measured in turns in one process.

Arms: `teacher` is recipes/lora_*.py; `student` is recipes/distill_*.py with that teacher, the lower
half of its layers; `labels-only` is the same student, trained without a teacher from the lower half
of the layers of the pretrained model; `teacher-layers` starts from the teacher's layers as the
student does, and learns from the labels alone.
"""

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import lowcost_ft as ft
from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.models.base import load_base_model
from lowcost_ft.models.saving import save_model
from lowcost_ft.models.shortened import keep_lower_layers
from lowcost_ft.models.tokenizers import load_tokenizer
from lowcost_ft.pipeline.student import settle_student
from lowcost_ft.record.environment import hardware, versions
from lowcost_ft.record.run_file import load_record

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "compression"
SUMMARY = ROOT / "benchmarks" / "compression.json"
sys.path.insert(0, str(ROOT / "recipes"))

ARMS = ("teacher", "student", "labels-only", "teacher-layers")
FILES = {
    "wnut17": ("ner", {"train": "train.conll", "validation": "dev.conll", "test": "test.conll"}),
    "banking77": ("classification", {"train": "train.csv", "test": "test.csv"}),
}
"""Task and files of each data set."""
METRICS = {"wnut17": "f1", "banking77": "accuracy"}
ROUNDS = 7
"""How often each model predicts the test set, in turns; the median counts."""


def main() -> None:
    """Runs what is missing, and writes the summary."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder with wnut17 and banking77")
    parser.add_argument("--data", default="banking77,wnut17")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-steps", type=int, default=None, help="to try the script")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "compression")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    seeds = [int(seed) for seed in options.seeds.split(",") if seed]
    for seed, data, arm in product(seeds, options.data.split(","), ARMS):
        file = options.results / f"{data}-{arm}-seed{seed}.json"
        if not file.exists():
            print(f"--- {data}, {arm}, seed {seed}", flush=True)
            _run(data, arm, seed, options)
            record = load_record(options.runs / f"{data}-{arm}-seed{seed}" / "run.json")
            file.write_text(_kept(record, options.folder, options.runs), "utf-8")
        speed = options.results / f"speed-{data}-seed{seed}.json"
        if arm == ARMS[-1] and not speed.exists():
            found = _speeds(data, seed, options)
            speed.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    summary = json.dumps(_summary(options.results), indent=1) + "\n"
    (SUMMARY if options.results == RESULTS else options.results / "summary.json").write_text(
        summary, "utf-8"
    )
    print(summary)


def _kept(record: dict[str, Any], folder: Path, runs: Path) -> str:
    """A record without what is long, and without where this machine has its folders."""
    train = {name: value for name, value in record["train"].items() if name != "loss_history"}
    text = json.dumps({**record, "train": train}, indent=1) + "\n"
    for place, name in ((folder, "data"), (runs, "runs"), (ROOT, "."), (Path.home(), "~")):
        text = text.replace(str(place), name)
    return text


def _run(data: str, arm: str, seed: int, options: argparse.Namespace) -> None:
    """One arm of one data set."""
    task, files = FILES[data]
    recipe = importlib.import_module(
        {"teacher": f"lora_{task}", "student": f"distill_{task}"}.get(arm, f"lora_{task}")
    )
    here, teacher = options.runs / f"{data}-{arm}-seed{seed}", None
    if arm in ("student", "teacher-layers"):
        teacher = str(options.runs / f"{data}-teacher-seed{seed}")
    config = replace(
        recipe.CONFIG,
        **{f"{split}_file": str(options.folder / data / name) for split, name in files.items()},
        output_dir=str(here),
        seed=seed,
        num_threads=options.threads,
        max_steps=options.max_steps,
        overwrite=True,
        method="lora" if arm == "teacher" else "full",
        teacher=teacher,
    )
    if arm == "teacher-layers":
        config = replace(settle_student(config), teacher=None)
    if arm == "labels-only":
        config = replace(config, model_id=str(_lower_half(task, options.runs)))
    recipe.main(config)


def _lower_half(task: str, folder: Path) -> Path:
    """The pretrained model with half of its layers."""
    target = folder / f"half-{task}"
    if not (target / "config.json").is_file():
        base = load_base_model(DEFAULT_MODEL_ID, head="token", labels=["O"]).model
        keep_lower_layers(base, None)
        save_model(base.base_model, load_tokenizer(DEFAULT_MODEL_ID), target)
    return target


def _speeds(data: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds to predict the test set, teacher and student in turns."""
    test = str(options.folder / data / FILES[data][1]["test"])
    asked: dict[str, Callable[[], Any]] = {}
    for arm in ("teacher", "student"):
        predictor = ft.load_predictor(
            options.runs / f"{data}-{arm}-seed{seed}", num_threads=options.threads
        )
        examples = predictor.read(test)
        asked[arm] = lambda p=predictor, e=examples: p.predict(e)  # type: ignore[misc]
    seconds: dict[str, list[float]] = {arm: [] for arm in asked}
    for number in range(ROUNDS + 1):
        for arm, predict in asked.items():
            started = time.perf_counter()
            predict()
            if number:  # The first round warms up.
                seconds[arm].append(round(time.perf_counter() - started, 4))
    medians = {arm: statistics.median(found) for arm, found in seconds.items()}
    return {
        "seconds": seconds,
        "ratio": round(medians["teacher"] / medians["student"], 3),
        "threads": options.threads,
        "hardware": hardware(),
        "versions": versions(),
    }


def _summary(results: Path) -> dict[str, Any]:
    """Scores by arm and seed, shares of the teacher's, and the ratio of the speeds."""
    found: dict[str, Any] = {}
    for data in FILES:
        arms: dict[str, dict[str, float]] = {}
        for arm in ARMS:
            for file in sorted(results.glob(f"{data}-{arm}-seed*.json")):
                score = load_record(file)["evaluation"]["test"][METRICS[data]]
                arms.setdefault(arm, {})[file.stem.rpartition("seed")[2]] = round(score, 4)
        if not arms.get("teacher"):
            continue
        means = {arm: statistics.mean(scores.values()) for arm, scores in arms.items()}
        speeds = [
            json.loads(file.read_text("utf-8"))
            for file in sorted(results.glob(f"speed-{data}-seed*.json"))
        ]
        found[data] = {
            "metric": METRICS[data],
            "scores": arms,
            "means": {arm: round(mean, 4) for arm, mean in means.items()},
            "shares": {arm: round(mean / means["teacher"], 4) for arm, mean in means.items()},
            "speed_ratios": [speed["ratio"] for speed in speeds],
            "threads": [speed["threads"] for speed in speeds],
        }
    return found


if __name__ == "__main__":
    main()
