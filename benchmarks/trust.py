"""What training for robustness buys, and what it costs: the table of `docs/extensions.md`.

    python benchmarks/trust.py run --data-dir DATA
    python benchmarks/trust.py run --data-dir DATA --validation --arms none,fgm:0.01,fgm:0.02
    python benchmarks/trust.py collect

Trains MiniLM with LoRA for three epochs on WNUT-17 and Banking77, with each extension by itself and
with none: one thread, in this process. A run leaves a JSON in `benchmarks/results/trust`, and what
is there already is not run again, so that a stopped script goes on where it was. Each run is scored
on 400 test rows, and on some of them once more under typing mistakes in a tenth of the words and
under the greedy attack of `lowcost-ft attack` with the same kind of mistakes. `collect` writes
`trust.json`: means over seeds with intervals, which resample the test rows for all seeds and arms
alike.

An arm such as `fgm:0.01` has another `--adversarial-epsilon`, and `r-drop:0.3` another
`--consistency-weight`. With `--validation` the validation rows are scored instead, as they are and
with mistakes, so that the defaults can be chosen.
"""

import contextlib
import io
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from default_sets import PANEL, PanelSet, rows_of
from trust_summary import ARMS, CONDITIONS, place, summary_of, validation_rows

import lowcost_ft as ft
from lowcost_ft.attack.measured import predictions_of
from lowcost_ft.attack.random_noise import noisy_examples
from lowcost_ft.attack.worst_case import worst_examples
from lowcost_ft.data.noise import NOISES
from lowcost_ft.record.environment import versions
from lowcost_ft.record.run_file import write_json

FILE = Path(__file__).resolve().parent / "trust.json"
RESULTS = FILE.parent / "results" / "trust"
SETS = {"wnut17": "wnut17-1000", "banking77": "banking77"}
"""Name -> the set of the panel that is its source; here all of its rows are taken."""
ALL_ROWS = 1_000_000
KIND = "typos"
SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Running:
    """Runs arms on both sets."""

    data_dir: Path = Path("data")
    """Folder of the public data sets. Sets whose data are not there are left out."""
    arms: str = ",".join(ARMS)
    """Comma-separated arms."""
    sets: str = ",".join(SETS)
    """Comma-separated sets."""
    seeds: str = "0,1,2"
    """Comma-separated seeds."""
    validation: bool = False
    """Score the validation rows instead of the test rows, without the attack."""
    scale: float = 1.0
    """Share of the training and validation rows to take; test rows stay."""
    attacked_rows: int = 300
    """Test rows that are changed."""
    edits: int = 3
    """Most edits of a text in the greedy attack."""
    results_dir: Path = RESULTS
    """Where results go, one JSON a run."""


@dataclass(frozen=True, kw_only=True)
class Collecting:
    """Gathers the results of runs in one file."""

    results_dir: Path = RESULTS
    """Where results are, one JSON a run."""
    file: Path = FILE
    """Where the summary goes."""


def run_once(
    one: PanelSet, arm: str, seed: int, rows: dict[str, Any], options: Running
) -> dict[str, Any]:
    """One run: what it cost, and what its scores are computed from."""
    started = time.process_time()
    name, _, number = arm.partition(":")
    settings = {"ema": 0.0, **ARMS[name]}  # The average is an arm of its own.
    if number:
        which = "consistency_weight" if name == "r-drop" else "adversarial_epsilon"
        settings[which] = float(number)
    with tempfile.TemporaryDirectory() as folder:
        config = ft.RunConfig(
            task=one.task,
            seed=seed,
            output_dir=f"{folder}/run",
            num_train_epochs=3,
            early_stopping_patience=0,
            num_threads=1,
            **settings,
        )
        with contextlib.redirect_stdout(io.StringIO()), ft.start_run(config) as run:
            data = ft.load_data(run, **rows)
            built = ft.build(run, data)
            trained = ft.train(run, built, data)
            saved = ft.save(run, built, data, trained, ft.evaluate(run, built, data, trained))
        predictor = ft.load_predictor(saved)
    result = trained.result
    if options.validation:
        examples = list(data.splits.validation or ())
        noisy, _ = noisy_examples(predictor.task, examples, KIND, NOISES[KIND], SHARE, seed=0)
        sums = {"clean": _sums(predictor, examples), "noise": _sums(predictor, noisy)}
    else:
        examples = list(data.splits.test or ())
        sums = sums_under_attack(predictor, examples[: options.attacked_rows], options)
        sums["test"] = _sums(predictor, examples)
    return {
        "metric": predictor.task.metric,
        "rows": len(data.splits.train),
        "train_cpu_seconds": round(result.cpu_seconds, 2),
        "peak_memory_bytes": result.peak_memory_bytes,
        "cpu_seconds": round(time.process_time() - started, 1),
        **{condition: _columns(found) for condition, found in sums.items()},
    }


def sums_under_attack(
    predictor: Any, examples: Sequence[Any], options: Running
) -> dict[str, np.ndarray]:
    """What the score of some rows is computed from, as they are and changed, `(rows, numbers)`."""
    noise = NOISES[KIND]
    noisy, _ = noisy_examples(predictor.task, examples, KIND, noise, SHARE, seed=0)
    states, _ = worst_examples(predictor, examples, {KIND: noise}, edits=options.edits, seed=0)
    worst = [state.after(options.edits) for state in states]
    changed = zip(CONDITIONS, (examples, noisy, worst), strict=True)
    return {condition: _sums(predictor, rows) for condition, rows in changed}


def _sums(predictor: Any, examples: Sequence[Any]) -> np.ndarray:
    predictions = predictions_of(predictor, examples)
    numbers: np.ndarray = predictor.task.score_sums(examples, predictions)[1]
    return numbers


def _columns(numbers: np.ndarray) -> list[list[int]]:
    return numbers.astype(int).T.tolist()


def run_all(options: Running) -> None:
    """Runs what is missing, seed by seed, so that a stopped script has whole comparisons."""
    options.results_dir.mkdir(parents=True, exist_ok=True)
    panel = {one.name: one for one in PANEL}
    for seed in map(int, options.seeds.split(",")):
        for name in options.sets.split(","):
            one = replace(panel[SETS[name]], rows=ALL_ROWS)
            try:
                rows = rows_of(one, options.data_dir, 1.0)
            except FileNotFoundError as error:
                print(f"{name}: left out, {error.filename} is missing", flush=True)
                continue
            if options.scale < 1:
                rows = {
                    split: of_split[: max(100, round(options.scale * len(of_split)))]
                    if split != "test"
                    else of_split
                    for split, of_split in rows.items()
                }
            for arm in options.arms.split(","):
                kind = "_validation" if options.validation else ""
                file = options.results_dir / (
                    f"{name}_{arm.replace(':', '-')}_{options.scale:g}_{seed}{kind}.json"
                )
                if file.exists():
                    continue
                told = {"set": name, "arm": arm, "seed": seed, "scale": options.scale}
                told |= {"edits": options.edits, "versions": versions()}
                told |= run_once(one, arm, seed, rows, options)
                file.write_text(json.dumps(told) + "\n", "utf-8")
                print(name, arm, seed, told["train_cpu_seconds"], told["cpu_seconds"], flush=True)


def collect(options: Collecting) -> None:
    """Writes a row a set and arm, over the seeds that the arm and the plain run both have."""
    runs = [json.loads(f.read_text("utf-8")) for f in sorted(options.results_dir.glob("*.json"))]
    by: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for run in (run for run in runs if "test" in run):
        by.setdefault((run["set"], run["arm"]), {})[run["seed"]] = run
    rows = []
    for name in SETS:
        for arm in sorted({arm for of, arm in by if of == name}, key=place):
            own, base = by.get((name, arm), {}), by.get((name, "none"), {})
            if seeds := sorted(set(own) & set(base)):
                pair = ([which[seed] for seed in seeds] for which in (own, base))
                first = own[seeds[0]]
                told = {key: first[key] for key in ("set", "arm", "metric", "rows", "edits")}
                told |= {"scale": first["scale"], "seeds": seeds}
                told |= {"test_rows": len(first["test"][0]), "changed_rows": len(first["clean"][0])}
                rows.append(told | summary_of(*pair))
    found = {"test": rows, "validation": validation_rows(runs)}
    write_json(options.file, found)
    print(json.dumps(found, indent=1))


Options = (
    Annotated[Running, tyro.conf.subcommand("run")]
    | Annotated[Collecting, tyro.conf.subcommand("collect")]
)
"""What the script is asked for."""


def main(options: Running | Collecting) -> None:
    """Runs or collects."""
    if isinstance(options, Running):
        run_all(options)
    else:
        collect(options)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
