"""What legal tags are worth: the same taggers with each word's best tag, and with legal ones.

    python benchmarks/tag_choice.py DATA
    python benchmarks/tag_choice.py --show

DATA is a folder with `wnut17/train.conll` and `dev.conll`; the other set is the embedded sample,
whose validation split is scored. `recipes/lora_ner.py` trains on 50 sentences that each seed draws,
and on all of them. No test row is read. Results are added to `benchmarks/tag_choice.json`; a run
that is there is not repeated. What is shown are entity F1 with both choices, and the difference
with a 95% interval over the sentences.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))
import lora_ner
from few_sentences import NEVER, rows, write
from tag_choice_tables import table

import lowcost_ft as ft
from lowcost_ft.attack.measured import predictions_of
from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.scores.bootstrap import interval
from lowcost_ft.scores.sums import f1_of

RESULTS = Path(__file__).resolve().parent / "tag_choice.json"
SETS = ("wnut17", "sample")
CHOICES = ("each", "legal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[50, 0], help="0: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--max-steps", type=int, help="for a try: fewer steps")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true", help="train nothing")
    options = parser.parse_args()
    if not options.show:
        if options.data is None:
            parser.error("name the folder of the data, or give --show")
        for seed in options.seeds:
            for size in options.sizes:
                for name in options.sets:
                    run(options, name, size, seed)
    print(table(json.loads(options.results.read_text("utf-8"))))


def run(options: Any, name: str, size: int, seed: int) -> None:
    """Trains a tagger and scores it with both choices, unless that is there already."""
    file: Path = options.results
    results = json.loads(file.read_text("utf-8")) if file.exists() else []
    key = {"set": name, "sentences": size, "seed": seed, "max_steps": options.max_steps}
    if any(key.items() <= found.items() for found in results):
        return
    splits = rows(options.data, name, "validation")
    train, scored = splits["train"], splits["validation"]
    if size:
        order = np.random.default_rng(seed).permutation(len(train))
        train = [train[i] for i in order[:size]]
    with tempfile.TemporaryDirectory() as folder:
        config = replace(
            lora_ner.CONFIG,
            train_file=write(Path(folder) / "train.jsonl", train),
            validation_share=0,
            validate_every_epochs=NEVER,
            output_dir=str(Path(folder) / "run"),
            max_steps=options.max_steps,
            num_threads=1,
            seed=seed,
        )
        predictor = ft.load_predictor(lora_ner.main(config))
        scored_file = write(Path(folder) / "scored.jsonl", scored)
        examples = list(ft.load_splits("ner", train_file=scored_file, validation_share=0).train)
    task: Any = predictor.task
    predictions_of(predictor, examples[:100])  # So that neither choice pays for the warm-up.
    sums, found = {}, dict[str, Any](rows=len(train), scored=len(examples))
    for choice in CHOICES:
        task.tag_choice = choice
        started = time.process_time()
        predictions = predictions_of(predictor, examples)
        found[f"{choice}_cpu_seconds"] = round(time.process_time() - started, 3)
        sums[choice] = np.asarray(task.score_sums(examples, predictions)[1], float)
        found[f"{choice}_f1"] = round(float(f1_of(sums[choice].sum(axis=0))), 4)
    found |= difference(sums["each"], sums["legal"])
    print(json.dumps(key | found), file=sys.stderr, flush=True)
    found |= {"versions": versions(), "hardware": hardware(), "git": git_state()}
    file.write_text(json.dumps([*results, key | found], indent=1) + "\n", "utf-8")


def difference(each: np.ndarray, legal: np.ndarray) -> dict[str, Any]:
    """How much higher F1 is with legal tags; the arrays hold what it is made of, `(rows, 3)`."""

    def value(sums: np.ndarray) -> np.ndarray:
        return f1_of(sums[..., 3:]) - f1_of(sums[..., :3])

    both = np.concatenate([each, legal], axis=1)
    ci95 = [round(float(end), 4) for end in interval(value, both, 0)]
    return {"difference": round(float(value(both.sum(axis=0))), 4), "ci95": ci95}


if __name__ == "__main__":
    main()
