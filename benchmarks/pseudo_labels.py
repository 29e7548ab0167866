"""500 labelled texts of Banking77 and the others without their labels: what pseudo-labels do.

    python benchmarks/pseudo_labels.py DATA
    python benchmarks/pseudo_labels.py DATA --recipes lora_classification --seeds 0 1 2
    python benchmarks/pseudo_labels.py DATA --recipes lora_classification --alone
    python benchmarks/pseudo_labels.py --show

DATA is a folder with `banking77/train.csv` and `banking77/test.csv`. Each seed draws 500 rows of
the training file, whatever their classes. Each recipe trains on them with its defaults, with and
without `--unlabelled-file` for the other rows, and is scored on the test file: the run without is
the one that labels the texts. With --alone, recipes learn the 500 rows and nothing else. What is
shown are the mean accuracies over the seeds; and for each recipe with the texts the mean difference
from the best one without, with the 95% interval of paired differences (Student's t). Results are
added to `benchmarks/pseudo_labels.json`; a run that is there is not repeated. A seed of both
recipes takes about an hour of one core, and a few minutes with --alone.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))
import few_shot_classification
import lora_classification
from few_shot import read, write
from pseudo_label_tables import pseudo_label_lines

from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.record.run_file import load_run

RESULTS = Path(__file__).resolve().parent / "pseudo_labels.json"
LABELLED = 500
RECIPES = {
    "few_shot_classification": few_shot_classification,
    "lora_classification": lora_classification,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--labelled", type=int, default=LABELLED)
    parser.add_argument("--unlabelled", type=int, help="for a try: only so many texts")
    parser.add_argument("--alone", action="store_true", help="without the other rows")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true", help="train nothing")
    options = parser.parse_args()
    if not options.show:
        for seed in options.seeds:
            for name in options.recipes:
                run(options, name, seed)
    for line in pseudo_label_lines(json.loads(options.results.read_text("utf-8"))):
        print(line)


def run(options: Any, name: str, seed: int) -> None:
    """Trains a recipe with and without the texts, unless it is there already."""
    file: Path = options.results
    results = json.loads(file.read_text("utf-8")) if file.exists() else []
    key = {"recipe": name, "seed": seed, "labelled": options.labelled}
    key |= {"unlabelled": 0 if options.alone else options.unlabelled}
    if any(key.items() <= found.items() for found in results):
        return
    rows = read(options.data / "banking77" / "train.csv")
    order = np.random.default_rng(seed).permutation(len(rows))
    drawn = [rows[place] for place in order]
    labelled, others = drawn[: options.labelled], drawn[options.labelled :]
    with tempfile.TemporaryDirectory() as folder:
        texts = None
        if not options.alone:
            texts = str(write(Path(folder) / "others.csv", others[: options.unlabelled]))
        config = replace(
            RECIPES[name].CONFIG,
            train_file=str(write(Path(folder) / "train.csv", labelled)),
            unlabelled_file=texts,
            test_file=str(options.data / "banking77" / "test.csv"),
            output_dir=str(Path(folder) / "run"),
            problem_type="single_label_classification",
            seed=seed,
        )
        record = load_run(RECIPES[name].main(config))
    found = {"train_seconds": record["train"]["seconds"]}
    accuracy = record["evaluation"]["test"]["accuracy"]
    found |= {"without": accuracy} if options.alone else {"accuracy": accuracy} | _told(record)
    print(json.dumps(key | found), file=sys.stderr, flush=True)
    found |= {"versions": versions(), "hardware": hardware(), "git": git_state()}
    file.write_text(json.dumps([*results, key | found], indent=1) + "\n", "utf-8")


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """What a run says of its texts, and of the run without them."""
    pseudo = record["pseudo_labels"]
    told = ("texts", "sure", "labels", "threshold", "validation_score", "validation_rows")
    return {
        "without": pseudo["differences"]["test"]["without"],
        "difference": pseudo["differences"]["test"]["difference"],
        "difference_ci95": pseudo["differences"]["test"]["difference_ci95"],
    } | {entry: pseudo[entry] for entry in (*told, "labelled_repeats")}


if __name__ == "__main__":
    main()
