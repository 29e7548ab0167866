"""NER from 50 and 100 sentences: the few-shot recipe beside LoRA with a rate chosen alike.

    python benchmarks/few_sentences.py DATA
    python benchmarks/few_sentences.py DATA --undrawn 800 --sizes 50 --seeds 0 5 \\
        --arms lora entities entities-all
    python benchmarks/few_sentences.py --show

DATA is a folder with `wnut17/train.conll` and `test.conll`; the other set is the embedded sample.
Each seed draws sentences of the training rows, whatever they hold. All arms train on the same ones
for as many steps. With `--undrawn` they are scored on so many training rows that were not drawn:
what `recipes/few_shot_ner.py` does beside LoRA, and LoRA's rate, were chosen by these scores of one
draw or two. Without it they are scored on all test sentences: `ours` is the recipe with its
defaults, and `lora` is `recipes/lora_ner.py`. What is shown are mean entity F1, and mean
differences over the seeds with 95% intervals of paired differences (Student's t). Results are added
to `benchmarks/few_sentences.json`; a run that is there is not repeated. A run takes about two
minutes on a quiet core.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))
import few_shot_ner
import lora_ner
from few_sentences_tables import summary

import lowcost_ft as ft
from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.record.run_file import load_run
from lowcost_ft.tasks import task_class

RESULTS = Path(__file__).resolve().parent / "few_sentences.json"
SETS = ("wnut17", "sample")
NEVER = 10**9
"""Epochs between scores: a run is scored at its end alone."""

ARMS: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "ours": (few_shot_ner, {}),
    "lora": (lora_ner, {}),
    "lora-0.002": (lora_ner, {"learning_rate": 0.002}),
    "entities": (lora_ner, {"augment": "entities"}),
    "entities-all": (lora_ner, {"augment": "entities", "augment_share": 1.0}),
    "r-drop": (lora_ner, {"consistency": "r-drop"}),
}
"""A recipe and settings; the default rate is 0.001."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[50, 100])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--arms", nargs="+", default=["ours", "lora"], choices=list(ARMS))
    parser.add_argument("--undrawn", type=int, default=0, help="training rows to score on")
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
    key |= {"undrawn": options.undrawn, "max_steps": options.max_steps}
    if any(key.items() <= found.items() for found in results):
        return
    splits = rows(options.data, name)
    order = np.random.default_rng(seed).permutation(len(splits["train"]))
    parts = {"train": [splits["train"][i] for i in order[:size]], "test": splits["test"]}
    scored = "test"
    if options.undrawn:
        scored = "validation"
        del parts["test"]
        parts[scored] = [splits["train"][i] for i in order[size : size + options.undrawn]]
    recipe, settings = ARMS[arm]
    with tempfile.TemporaryDirectory() as folder:
        changes = settings | {
            f"{part}_file": write(Path(folder) / f"{part}.jsonl", drawn)
            for part, drawn in parts.items()
        }
        config = replace(
            recipe.CONFIG,
            validation_share=0,
            validate_every_epochs=NEVER if options.undrawn else "auto",
            output_dir=str(Path(folder) / "run"),
            max_steps=options.max_steps,
            num_threads=1,
            seed=seed,
            **changes,
        )
        record = load_run(recipe.main(config))
    found = {
        "f1": record["evaluation"][scored]["f1"],
        "steps": record["train"]["optimizer_steps"],
        "cpu_seconds": record["train"]["cpu_seconds"],
    }
    print(json.dumps(key | found), file=sys.stderr, flush=True)
    found |= {"versions": versions(), "hardware": hardware(), "git": git_state()}
    file.write_text(json.dumps([*results, key | found], indent=1) + "\n", "utf-8")


def rows(data: Path, name: str, scored: str = "test") -> dict[str, list[dict[str, Any]]]:
    """The training rows of a set, and those of its test or its validation split."""
    if name == "sample":
        return task_class("ner").sample_rows()
    files: dict[str, Any] = {
        "train_file": str(data / name / "train.conll"),
        f"{scored}_file": str(data / name / ("test.conll" if scored == "test" else "dev.conll")),
    }
    splits = ft.load_splits("ner", validation_share=0, **files)
    return {
        split: [{"tokens": list(one.words), "tags": list(one.tags)} for one in examples]
        for split, examples in (("train", splits.train), (scored, getattr(splits, scored)))
    }


def write(path: Path, found: Sequence[dict[str, Any]]) -> str:
    """A JSONL file of rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")
    return str(path)


if __name__ == "__main__":
    main()
