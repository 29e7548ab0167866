"""Eight texts a class: the few-shot recipes, `setfit`, and a linear head on frozen embeddings.

    python benchmarks/few_shot.py DATA --peers-python PEERS/bin/python
    python benchmarks/few_shot.py DATA --sets banking77 --seeds 0 1 2 --peers-python ...
    python benchmarks/few_shot.py DATA --arms prompt zero_shot --test-rows 500
    python benchmarks/few_shot.py --show

DATA is a folder with `fewshot/customer_reviews_train.csv` and `..._test.csv`, `fewshot/ag_news_...`
and `banking77/train.csv`, `test.csv`; rows without text are left out. Each seed draws 8 texts of
each class from the training file; all arms train on the same draw and are scored on the whole test
file (or its first --test-rows). Peers run in an environment of their own (`benchmarks/peers/`).
Seconds are those of the training alone, fitting the head included; those of the CPU depend less on
other programs. What is shown are mean accuracies, and mean differences over the seeds with 95%
intervals of paired differences (Student's t). The arms `prompt` (the recipe of this name, whose
seconds hold the choice by cross-validation) and `zero_shot` (the same without training) are of
another model, SmolLM2-135M, which costs ten times as much to score: they run where they are named.
Results are added to `benchmarks/few_shot.json`; a run that is there is not repeated. About an hour
on 2 quiet cores for ten seeds of the first two sets, and as much for three seeds of Banking77.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from few_shot_tables import difference
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))
import few_shot_classification
import lora_gpt_classification
import prompt_classification

import lowcost_ft as ft
from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.frozen.embedding import load_embedder
from lowcost_ft.record.environment import git_state, hardware, versions

ROOT = Path(__file__).resolve().parent
RESULTS = ROOT / "few_shot.json"
EACH = 8
SETS = {
    "customer_reviews": ("fewshot/customer_reviews_train.csv", "fewshot/customer_reviews_test.csv"),
    "ag_news": ("fewshot/ag_news_train.csv", "fewshot/ag_news_test.csv"),
    "banking77": ("banking77/train.csv", "banking77/test.csv"),
}
NUM_ITERATIONS = {"banking77": 20}
"""setfit's own number of pairs grows with the square of the classes: 374,528 there."""

PROMPTS: dict[str, dict[str, Any]] = {
    "customer_reviews": {"prompt_template": "Review: {source}\nThe review is"},
    "ag_news": {"prompt_template": "{source}\nTopic:", "label_words": "Sci/Tech=Technology"},
    "banking77": {"prompt_template": "{source}\nTopic:"},
}

Rows = list[tuple[str, str]]
"""Texts and their labels."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--sets", nargs="+", default=["customer_reviews", "ag_news"], choices=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    parser.add_argument("--arms", nargs="+", default=["ours", "setfit", "head"], choices=ARMS)
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--test-rows", type=int, help="for a try: only the first test rows")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    if not options.show:
        for name in options.sets:
            train, test = (read(options.data / file) for file in SETS[name])
            for seed in options.seeds:
                for arm in options.arms:
                    run(options, name, seed, arm, draw(train, seed), test[: options.test_rows])
    for line in summary(json.loads(options.results.read_text("utf-8"))):
        print(line)


def run(options: Any, name: str, seed: int, arm: str, train: Rows, test: Rows) -> None:
    """Trains and scores an arm, unless it is there already."""
    file: Path = options.results
    results = json.loads(file.read_text("utf-8")) if file.exists() else []
    key = {"set": name, "seed": seed, "arm": arm, "test_rows": len(test)}
    if any(key.items() <= found.items() for found in results):
        return
    with tempfile.TemporaryDirectory() as folder:
        files = [write(Path(folder) / f"{split}.csv", rows) for split, rows in
                 (("train", train), ("test", test))]  # fmt: skip
        found = ARMS[arm](files, name=name, seed=seed, folder=Path(folder), options=options)
    found |= {"versions": versions(), "hardware": hardware(), "git": git_state()}
    print(json.dumps(key | found)[:200], file=sys.stderr, flush=True)
    file.write_text(json.dumps([*results, key | found], indent=1) + "\n", "utf-8")


def read(path: Path) -> Rows:
    """Texts and labels of a CSV file with two columns, the text first."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return [(text, label) for text, label, *_ in rows if text.strip()]


def write(path: Path, rows: Rows) -> Path:
    """A CSV file with the columns text and label."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        table.writerows(rows)
    return path


def draw(rows: Rows, seed: int, each: int = EACH) -> Rows:
    """So many rows of each class, by the seed."""
    order = np.random.default_rng(seed).permutation(len(rows))
    taken: dict[str, int] = {}
    chosen = []
    for place in order:
        label = rows[place][1]
        if taken.get(label, 0) < each:
            taken[label] = taken.get(label, 0) + 1
            chosen.append(rows[place])
    return chosen


def ours(files: Sequence[Path], *, seed: int, folder: Path, **_: Any) -> dict[str, Any]:
    """The recipe with its defaults."""
    return timed(on(files, folder, replace(few_shot_classification.CONFIG, seed=seed)))


def prompt(
    files: Sequence[Path], *, name: str, seed: int, folder: Path, **_: Any
) -> dict[str, Any]:
    """The recipe for a decoder, with the choice that it makes."""
    config = replace(prompt_classification.CONFIG, seed=seed, **PROMPTS[name])
    config = on(files, folder, config)
    wall, cpu = time.perf_counter(), time.process_time()
    chosen = ft.with_cross_validation(
        config, lora_gpt_classification.main, prompt_classification.CANDIDATES
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = timed(chosen) | {"trained": chosen.max_steps is None}
    found["train_seconds"] += wall
    found["cpu_seconds"] += cpu
    return found


def zero_shot(
    files: Sequence[Path], *, name: str, seed: int, folder: Path, **_: Any
) -> dict[str, Any]:
    """The same without training."""
    config = replace(prompt_classification.CONFIG, seed=seed, max_steps=0, **PROMPTS[name])
    return timed(on(files, folder, config))


def on(files: Sequence[Path], folder: Path, config: ft.RunConfig) -> ft.RunConfig:
    """A recipe's settings on a draw."""
    return replace(
        config,
        train_file=str(files[0]),
        test_file=str(files[1]),
        output_dir=str(folder / "run"),
        problem_type="single_label_classification",
    )


def timed(config: ft.RunConfig) -> dict[str, Any]:
    """Trains and scores; the accuracy, and the seconds of the training."""
    with ft.start_run(config) as run:
        data = ft.load_data(run)
        built = ft.build(run, data)
        wall, cpu = time.perf_counter(), time.process_time()
        trained = ft.train(run, built, data)
        seconds = {
            "train_seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
        }
        evaluated = ft.evaluate(run, built, data, trained)
    return seconds | {"accuracy": evaluated.scores["test"]["accuracy"]}


def setfit(
    files: Sequence[Path], *, name: str, seed: int, folder: Path, options: Any
) -> dict[str, Any]:
    """setfit in its own environment."""
    words = [options.peers_python, str(ROOT / "peers" / "setfit_few_shot.py"), *map(str, files)]
    words += ["--seed", str(seed), "--output-dir", str(folder / "setfit")]
    if name in NUM_ITERATIONS:
        words += ["--num-iterations", str(NUM_ITERATIONS[name])]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def head(files: Sequence[Path], **_: Any) -> dict[str, Any]:
    """A logistic regression (C = 10) on frozen, mean-pooled, normalised embeddings."""
    train, test = (read(file) for file in files)
    embedder = load_embedder(DEFAULT_MODEL_ID)
    wall, cpu = time.perf_counter(), time.process_time()
    states = embedder.texts([text for text, _ in train])
    model = LogisticRegression(C=10, max_iter=1000).fit(states, [label for _, label in train])
    seconds = {
        "train_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }
    found = model.predict(embedder.texts([text for text, _ in test]))
    right = [one == label for one, (_, label) in zip(found, test, strict=True)]
    return seconds | {"accuracy": float(np.mean(right))}


ARMS: dict[str, Callable[..., dict[str, Any]]] = {
    "ours": ours,
    "setfit": setfit,
    "head": head,
    "prompt": prompt,
    "zero_shot": zero_shot,
}


def summary(results: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each arm of each set."""
    lines = []
    for name in dict.fromkeys(run["set"] for run in results):
        runs = {(run["arm"], run["seed"]): run for run in results if run["set"] == name}
        for arm in dict.fromkeys(arm for arm, _ in runs):
            own = {seed: run for (of, seed), run in runs.items() if of == arm}
            scores = [run["accuracy"] for run in own.values()]
            told = f"{name}, {arm}: {statistics.mean(scores):.3f} over {len(own)} seeds"
            told += f", {statistics.mean(r['cpu_seconds'] for r in own.values()):.0f} s of CPU"
            pairs = [
                runs["ours", seed]["accuracy"] - run["accuracy"]
                for seed, run in own.items()
                if ("ours", seed) in runs
            ]
            if arm != "ours" and pairs:
                told += f"; ours is higher by {difference(pairs)}"
            lines.append(told)
    return lines


if __name__ == "__main__":
    main()
