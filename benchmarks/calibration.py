"""How far scores are from the share of right answers, before and after calibration, on test data.

    python benchmarks/calibration.py --data-dir DATA

Trains each data set with three seeds, as `recipes/` do it, and reads what the runs measured: the
calibration error of test answers, the precision that validation data promised from a score on and
what it was on the test split, and how well 80 out-of-scope messages are told from the test texts.
A run that is there already is not trained again. It leaves `benchmarks/calibration.json`, in which
the sets that are not asked for stay as they are.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import lowcost_ft as ft
from lowcost_ft.data.sample_text.out_of_scope import OUT_OF_SCOPE
from lowcost_ft.pipeline.run_splits import load_run_splits
from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.record.run_file import load_run, write_json
from lowcost_ft.scores.promises import promise_of

FILE = Path(__file__).resolve().parent / "calibration.json"
ROOT = FILE.parent.parent

SETS: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "sample-ner": ("lora_ner", {}, ()),
    "sample-classification": ("lora_classification", {}, ()),
    "wnut17": (
        "lora_ner",
        {
            "train-file": "wnut17/train.conll",
            "validation-file": "wnut17/dev.conll",
            "test-file": "wnut17/test.conll",
        },
        ("--num-train-epochs", "3"),
    ),
    "banking77": (
        "lora_classification",
        {"train-file": "banking77/train.csv", "test-file": "banking77/test.csv"},
        ("--num-train-epochs", "3", "--label-column", "category"),
    ),
}
"""Name -> recipe, files below the data folder, other flags."""
PROMISED = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Where data is and runs go."""

    data_dir: Path = Path("data")
    """Folder of the public data sets. Sets whose data are not there are left out."""
    sets: str = ",".join(SETS)
    """Comma-separated sets."""
    seeds: str = "0,1,2"
    """Comma-separated seeds."""
    runs_dir: Path = Path("runs/calibration")
    """Where run folders go."""
    flags: str = ""
    """Further flags of the recipes, for a quick try."""


def trained(name: str, seed: int, arguments: Arguments) -> Path | None:
    """The folder of a run, trained now unless it is there; None without its data."""
    recipe, files, more = SETS[name]
    paths = {flag: arguments.data_dir / file for flag, file in files.items()}
    if not all(path.exists() for path in paths.values()):
        return None
    folder = arguments.runs_dir / f"{name}-seed{seed}"
    if not (folder / "run.json").exists():
        command = [sys.executable, str(ROOT / "recipes" / f"{recipe}.py"), *more]
        for flag, path in paths.items():
            command += [f"--{flag}", str(path)]
        command += ["--seed", str(seed), "--output-dir", str(folder), *arguments.flags.split()]
        subprocess.run(command, check=True)
    return folder


def measured(folder: Path) -> dict[str, Any]:
    """What a run says of its test answers, and what its promises came to there."""
    run = load_run(folder)
    calibration = run["calibration"]
    predictor = ft.load_predictor(folder)
    examples = load_run_splits(run["config"]).test or []
    texts = type(predictor.task).read_texts(list(OUT_OF_SCOPE), None)
    outside = predictor.out_of_scope(examples, texts)
    found: dict[str, Any] = {
        "seed": run["seed"],
        "temperature": calibration["temperature"],
        "offset": calibration.get("offset"),
        "reason": calibration.get("reason"),
        "out_of_scope": outside,
    }
    if calibration["temperature"] is None:
        return found
    for name in ("before", "after"):
        kept = ("answers", "ece", "ece_ci95", "p_calibrated")
        found[name] = {key: calibration["test"][name][key] for key in kept}
    predictions, _ = predictor._predictions(examples)
    graded = predictor.task.graded(examples, predictions)
    assert graded is not None
    assert predictor.task.score_map is not None
    scores, right = predictor.task.score_map.apply(graded)[graded.given], graded.right[graded.given]
    found["promises"] = []
    for score in PROMISED:
        told = scores >= score
        found["promises"].append(
            {
                "promised": promise_of(calibration["promises"], score).to_dict(),
                "coverage": float(told.mean()),
                "precision": float(right[told].mean()) if told.any() else None,
                "answers": int(told.sum()),
            }
        )
    return found


def main(arguments: Arguments) -> None:
    """Trains what is missing, and writes what was measured."""
    written = {"git": git_state(), "versions": versions(), "hardware": hardware()}
    results = json.loads(FILE.read_text("utf-8"))["sets"] if FILE.exists() else {}
    for name in arguments.sets.split(","):
        runs: list[dict[str, Any]] = []
        for seed in map(int, arguments.seeds.split(",")):
            folder = trained(name, seed, arguments)
            if folder is None:
                print(f"{name}: its data are not in {arguments.data_dir}", file=sys.stderr)
                break
            runs.append(measured(folder))
            results[name] = written | {"runs": runs}
            write_json(FILE, {"sets": results})
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
