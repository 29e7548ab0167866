"""Tries settings over a panel of training sets: what default epochs and rates are chosen by.

    python benchmarks/defaults.py run --data-dir DATA --arms lora,full
    python benchmarks/defaults.py collect

A run is one set of `default_sets.py` with one arm and seed: MiniLM, one thread, in this process.
It leaves a JSON in `benchmarks/results/defaults`, and what is there already is not run again, so
that a stopped script goes on where it was. An arm is a method and some settings, such as
`lora:learning_rate=0.002`. Some stand for what there is no setting for: `least_steps` for epochs
that make a least number of optimizer steps, `b_ratio` and `output_rate` for rates of their own for
B of LoRA and for the head without the pooler; and two for what the defaults once were:
`frozen_pooler` leaves BERT's pooler as it is in the checkpoint, and `zero_bias` the bias of the
output layer at zero. `collect` writes `defaults.json`, of which `docs/defaults.md` has the tables.
"""

import contextlib
import io
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from default_arms import changed, config_of
from default_sets import PANEL, PanelSet, rows_of

import lowcost_ft as ft
from lowcost_ft.scores.bootstrap import interval
from lowcost_ft.scores.sums import (
    accuracy_of,
    entity_counts,
    f1_of,
    indicators,
    label_counts,
)

FILE = Path(__file__).resolve().parent / "defaults.json"
RESULTS = FILE.parent / "results" / "defaults"


@dataclass(frozen=True, kw_only=True)
class Running:
    """Runs arms over the panel."""

    data_dir: Path = Path("data")
    """Folder of the public data sets. Sets whose data are not there are left out."""
    arms: str = "lora,full"
    """Comma-separated arms: METHOD, or METHOD:FIELD=VALUE:FIELD=VALUE."""
    sets: str = ",".join(one.name for one in PANEL)
    """Comma-separated sets."""
    seeds: str = "0"
    """Comma-separated seeds."""
    scale: float = 1.0
    """Share of each set's training rows to take; each keeps a least number of them."""
    most_words: int | None = None
    """Take only rows of so many words; sets of long texts are cut after twice as many."""
    score_test: bool = False
    """Predict the test split as well. `collect` scores it for the final table alone."""
    every: int = 1
    """Score the validation split after every so many epochs, and after the last one."""
    results_dir: Path = RESULTS
    """Where results go, one JSON a run."""


@dataclass(frozen=True, kw_only=True)
class Collecting:
    """Gathers the results of runs in one file."""

    results_dir: Path = RESULTS
    """Where results are, one JSON a run."""
    pairs: str = ""
    """Comma-separated pairs ARM/ARM whose test scores are compared, the final table."""


class EnoughError(Exception):
    """Training has said all that was asked."""


def run_once(
    arm: str, one: PanelSet, seed: int, rows: dict[str, Any], every: int = 1
) -> dict[str, Any]:
    """One run, from loading to its scores; with test rows, what their score is computed from."""
    started = time.process_time()
    test = None
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.suppress(EnoughError),
    ):
        config, special = config_of(arm, one, seed, f"{folder}/run", len(rows["train"]))
        assert config.num_train_epochs != "auto"
        with changed(every, config.num_train_epochs, **special), ft.start_run(config) as run:
            data = ft.load_data(run, **rows)
            built = ft.build(run, data)
            try:
                trained = ft.train(run, built, data)
            except ft.UserError as error:  # A diverged run is a result, too.
                return {"set": one.name, "arm": arm, "seed": seed, "status": str(error)}
            if "test" not in rows:
                raise EnoughError
            evaluated = ft.evaluate(run, built, data, trained)
            test = counts_of(data.task, data.splits.test, evaluated.predictions["test"])
    result = trained.result
    return {
        "set": one.name,
        "arm": arm,
        "seed": seed,
        "status": "completed",
        "rows": len(data.splits.train),
        "metric": data.task.metric,
        "learning_rate": built.learning_rate,
        "optimizer_steps": result.optimizer_steps,
        "best_epoch": result.best_epoch,
        "validation": [
            {k: round(e[k], 4) for k in (data.task.metric, "loss")}
            for e in result.validation_history
            if e[data.task.metric] >= 0
        ],
        "train_cpu_seconds": round(result.cpu_seconds, 2),
        "peak_memory_bytes": result.peak_memory_bytes,
        "cpu_seconds": round(time.process_time() - started, 1),
        **({} if result.head_start is None else {"head_start": result.head_start}),
        **({} if test is None else {"test": test.astype(int).T.tolist()}),
    }


def counts_of(task: Any, examples: Any, predictions: Any) -> np.ndarray:
    """What an F1 or an accuracy is computed from: right, predicted, true of each test row."""
    answers = task.present(examples, predictions)
    truth = [task.truth_of(example) for example in examples]
    if "tags" in answers[0]:
        return entity_counts([list(a["tags"]) for a in answers], [list(t) for t in truth])
    kind = "multi_label" if isinstance(answers[0]["label"], list) else "single_label"
    return label_counts(*indicators([a["label"] for a in answers], truth, task.labels, kind))


def run_all(options: Running) -> None:
    """Runs what is missing, arm by arm."""
    options.results_dir.mkdir(parents=True, exist_ok=True)
    wanted = [one for one in PANEL if one.name in options.sets.split(",")]
    for arm in options.arms.split(","):
        for seed in map(int, options.seeds.split(",")):
            for one in wanted:
                name = f"{one.name}_{arm.replace(':', '_')}_{options.scale:g}_{seed}.json"
                file = options.results_dir / name
                known = json.loads(file.read_text("utf-8")) if file.exists() else {}
                if known and ("test" in known or not options.score_test):
                    continue
                try:
                    rows = rows_of(one, options.data_dir, options.scale, options.most_words)
                except FileNotFoundError as error:
                    print(f"{one.name}: left out, {error.filename} is missing", flush=True)
                    continue
                if not options.score_test:
                    del rows["test"]
                found = run_once(arm, one, seed, rows, options.every)
                found |= {"scale": options.scale, "most_words": options.most_words}
                file.write_text(json.dumps(found) + "\n", "utf-8")
                told = [list(epoch.values()) for epoch in found.get("validation", ())]
                print(one.name, arm, seed, told, found.get("cpu_seconds"), flush=True)


def test_score(run: dict[str, Any]) -> float:
    """The score of a run's test counts."""
    score = accuracy_of if run["metric"] == "accuracy" else f1_of
    return float(score(np.asarray(run["test"], float).T.sum(axis=0)))


def paired(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> dict[str, Any]:
    """Test scores of two arms on one set, over the same seeds, and the interval of the difference.

    The interval is of the test rows alone: the same rows are drawn for both arms and all seeds.
    """
    score = accuracy_of if one[0]["metric"] == "accuracy" else f1_of
    arms = [np.stack([np.asarray(run["test"], float).T for run in arm]) for arm in (one, other)]
    seeds, rows = arms[0].shape[:2]
    flat = np.concatenate([arm.transpose(1, 0, 2).reshape(rows, -1) for arm in arms], axis=1)

    def difference(sums: np.ndarray) -> np.ndarray:
        by_seed = sums.reshape(*sums.shape[:-1], 2, seeds, 3)
        scores = score(by_seed).mean(axis=-1)
        return scores[..., 0] - scores[..., 1]

    return {
        "seeds": seeds,
        "test_rows": rows,
        "difference": round(float(difference(flat.sum(axis=0))), 4),
        "ci95": [round(end, 4) for end in interval(difference, flat, 0)],
        "scores": [round(float(np.mean([test_score(r) for r in arm])), 4) for arm in (one, other)],
    }


def collect(options: Collecting) -> None:
    """Writes one file of all runs, and the test scores of the pairs that are asked for."""
    runs = [json.loads(f.read_text("utf-8")) for f in sorted(options.results_dir.glob("*.json"))]
    order = [one.name for one in PANEL]
    runs.sort(key=lambda run: (order.index(run["set"]), run["arm"], run["seed"]))
    whole = [run for run in runs if run["scale"] == 1 and "test" in run]
    pairs = []
    for pair in filter(None, options.pairs.split(",")):
        one, other = pair.split("/")
        for name in order:
            of_set = [run for run in whole if run["set"] == name]
            arms = [{r["seed"]: r for r in of_set if r["arm"] == arm} for arm in (one, other)]
            if seeds := sorted(set(arms[0]) & set(arms[1])):
                found = paired(*([arm[seed] for seed in seeds] for arm in arms))
                pairs.append({"set": name, "arm": one, "against": other} | found)
    for run in runs:  # A test score may not choose anything: it is not even kept.
        run.pop("test", None)
    lines = {"runs": runs, "pairs": pairs}
    texts = [
        f' "{name}": [\n' + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n ]"
        for name, rows in lines.items()
    ]
    FILE.write_text("{\n" + ",\n".join(texts) + "\n}\n", "utf-8")


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
