"""NER from 50 and 100 sentences: the few-shot recipe beside LoRA with settings chosen alike.

    python benchmarks/few_sentences.py DATA
    python benchmarks/few_sentences.py DATA --sets sample --sizes 50 --seeds 0
    python benchmarks/few_sentences.py --show

DATA is a folder with `wnut17/train.conll` and `test.conll`; the other set is the embedded sample.
Each seed draws sentences of the training rows, whatever they hold. Both arms train on the same
ones for as many steps and are scored on all test sentences: `ours` is `recipes/few_shot_ner.py`
with its defaults, `lora` is `recipes/lora_ner.py` whose learning rate (the default or twice that)
is chosen by the same cross-validation. What is shown are mean entity F1, and mean differences over
the seeds with 95% intervals of paired differences (Student's t). Results are added to
`benchmarks/few_sentences.json`; a run that is there is not repeated. About three hours on 2 quiet
cores for five seeds of both sets and sizes.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))
import few_shot_ner
import lora_ner
from few_shot import difference

import lowcost_ft as ft
from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.record.run_file import load_run
from lowcost_ft.tasks import task_class

RESULTS = Path(__file__).resolve().parent / "few_sentences.json"
SETS = ("wnut17", "sample")
DEFAULT_RATE = 1e-3
"""Of LoRA for the model of the recipes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[50, 100])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--max-steps", type=int, help="for a try: fewer steps")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true", help="train nothing")
    options = parser.parse_args()
    if not options.show:
        for name in options.sets:
            for size in options.sizes:
                for seed in options.seeds:
                    for arm in options.arms:
                        run(options, name, size, seed, arm)
    for line in summary(json.loads(options.results.read_text("utf-8"))):
        print(line)


def run(options: Any, name: str, size: int, seed: int, arm: str) -> None:
    """Trains and scores an arm, unless it is there already."""
    file: Path = options.results
    results = json.loads(file.read_text("utf-8")) if file.exists() else []
    key = {"set": name, "sentences": size, "seed": seed, "arm": arm}
    key |= {"max_steps": options.max_steps}
    if any(key.items() <= found.items() for found in results):
        return
    splits = rows(options.data, name)
    order = np.random.default_rng(seed).permutation(len(splits["train"]))[:size]
    with tempfile.TemporaryDirectory() as folder:
        config = replace(
            few_shot_ner.CONFIG,
            train_file=write(Path(folder) / "train.jsonl", [splits["train"][i] for i in order]),
            test_file=write(Path(folder) / "test.jsonl", splits["test"]),
            output_dir=str(Path(folder) / "run"),
            max_steps=options.max_steps,
            seed=seed,
        )
        record = load_run(ARMS[arm](config))
    found = {
        "f1": record["evaluation"]["test"]["f1"],
        "steps": record["train"]["optimizer_steps"],
        "train_seconds": record["train"]["seconds"],
        "chosen": {
            setting: record["config"][setting]
            for setting in ("augment", "consistency", "learning_rate")
        },
    }
    print(json.dumps(key | found), file=sys.stderr, flush=True)
    found |= {"versions": versions(), "hardware": hardware(), "git": git_state()}
    file.write_text(json.dumps([*results, key | found], indent=1) + "\n", "utf-8")


def rows(data: Path, name: str) -> dict[str, list[dict[str, Any]]]:
    """The training and the test rows of a set."""
    if name == "sample":
        return task_class("ner").sample_rows()
    splits = ft.load_splits(
        "ner",
        train_file=str(data / name / "train.conll"),
        test_file=str(data / name / "test.conll"),
        validation_share=0,
    )
    return {
        split: [{"tokens": list(one.words), "tags": list(one.tags)} for one in examples]
        for split, examples in (("train", splits.train), ("test", splits.test or []))
    }


def write(path: Path, found: Sequence[dict[str, Any]]) -> str:
    """A JSONL file of rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")
    return str(path)


def lora(config: ft.RunConfig) -> Path:
    """The LoRA recipe, with a learning rate that is chosen as the other arm's settings are."""
    candidates: tuple[dict[str, Any], ...] = ({}, {"learning_rate": 2 * DEFAULT_RATE})
    return lora_ner.main(ft.with_cross_validation(config, lora_ner.main, candidates))


ARMS = {"ours": few_shot_ner.main, "lora": lora}


def summary(results: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each set and size."""
    lines = []
    for name, size in dict.fromkeys((run["set"], run["sentences"]) for run in results):
        runs = {
            (run["arm"], run["seed"]): run["f1"]
            for run in results
            if (run["set"], run["sentences"]) == (name, size)
        }
        told = []
        for arm in ARMS:
            if scores := [score for (of, _), score in runs.items() if of == arm]:
                told.append(f"{arm} {statistics.mean(scores):.3f} over {len(scores)} seeds")
        pairs = [
            score - runs["lora", seed]
            for (arm, seed), score in runs.items()
            if arm == "ours" and ("lora", seed) in runs
        ]
        if pairs:
            told.append(f"ours is higher by {difference(pairs)}")
        lines.append(f"{name}, {size} sentences: {'; '.join(told)}")
    return lines


if __name__ == "__main__":
    main()
