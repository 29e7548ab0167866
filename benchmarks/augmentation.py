"""What augmentation and the robust extensions do to a score, with few labels and with all of them.

    python benchmarks/augmentation.py --task classification --train-file banking77/train.csv \\
        --test-file banking77/test.csv --sizes 200,0
    python benchmarks/augmentation.py --task ner --arms plain,entities,typos --sizes 50,200
    python benchmarks/augmentation.py --show

Each arm trains on the same rows as `plain`, drawn by the seed, for as many steps. Validation rows
are drawn from the rest, or are those of the file. The test split is scored once as it is and once
with a mistake in a tenth of its words. What is shown are means over the seeds of the difference to
`plain`, with 95% intervals of paired differences (Student's t). Results are added to
`benchmarks/augmentation.json`; what is there already is not run again. Without files, the embedded
sample is used.
"""

import json
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from scipy.stats import t as student

import lowcost_ft as ft
from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.data.augmentation import WAYS
from lowcost_ft.data.readers import read_rows
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import forward_module
from lowcost_ft.pipeline.predicting import predict_and_score
from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.tasks import task_class
from lowcost_ft.training.setup import set_num_threads

FILE = Path(__file__).resolve().parent / "augmentation.json"
ARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    **{way: {"augment": way} for way in WAYS},
    "several": {"augment": "delete,swap,typos"},
    "fgm": {"adversarial": "fgm"},
    "pgd": {"adversarial": "pgd"},
    "freelb": {"adversarial": "freelb"},
    "r-drop": {"consistency": "r-drop", "dropout": 0.1},
    "dropout": {"dropout": 0.1},
    "ema": {"ema": 0.99},
    "smoothing": {"label_smoothing": 0.1},
}
"""Settings by the name of the arm; `dropout` is what r-drop is compared with besides."""
NOISE_SHARE, NOISE_SEED = 0.1, 99


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to run."""

    task: str = "classification"
    """The task."""
    model_id: str = DEFAULT_MODEL_ID
    """The model."""
    train_file: str | None = None
    """Training rows. Default: the embedded sample."""
    validation_file: str | None = None
    """Validation rows. Default: drawn from the training rows that are not trained on."""
    test_file: str | None = None
    """Test rows."""
    sizes: str = "50,200,0"
    """Comma-separated numbers of training rows; 0: all."""
    arms: str = ",".join(ARMS)
    """Comma-separated arms; plain is always run."""
    seeds: int = 5
    """Seeds 0, 1, ..."""
    max_steps: int = 200
    """Optimizer steps of 16 rows."""
    test_rows: int = 1000
    """At most so many test rows, drawn once."""
    show: bool = False
    """Only print the table."""


def splits(options: Options) -> dict[str, list[dict[str, Any]]]:
    """All rows by split."""
    if options.train_file is None:
        return task_class(options.task).sample_rows()
    files = {"train": options.train_file, "validation": options.validation_file}
    files["test"] = options.test_file
    problems: list[str] = []
    found = {
        name: [row.values for row in read_rows(path, problems, [])]
        for name, path in files.items()
        if path
    }
    if problems:
        raise UserError(problems)
    return found


def drawn(
    given: dict[str, list[dict[str, Any]]], size: int, seed: int, test_rows: int
) -> dict[str, list[dict[str, Any]]]:
    """Rows of one run: of training by the seed, and of the test split the same for all."""
    random = np.random.default_rng([seed, size])
    train = [given["train"][i] for i in random.permutation(len(given["train"]))]
    size = size or len(train)
    kept = np.random.default_rng(0).permutation(len(given["test"]))[:test_rows]
    test = [given["test"][i] for i in sorted(kept)]
    validation = given.get("validation") or train[size : size + 500]
    if len(validation) < 50:  # All rows train, and nothing is left.
        cut = len(train) // 10
        train, validation = train[cut:], train[:cut]
    return {"train": train[:size], "validation": validation, "test": test}


def noisy(task: Any, examples: Sequence[Any]) -> Iterator[Any]:
    """Examples with mistakes in a tenth of their words, the same ones for every run."""
    for place, example in enumerate(examples):
        random = np.random.default_rng([NOISE_SEED, place])
        texts = task.spanned_texts(example)
        wrong = [WAYS["typos"](text, random, NOISE_SHARE, {}) or text for text in texts]
        yield (task.with_texts(example, wrong) if texts else None) or example


def measure(options: Options, arm: str, rows: dict[str, list[Any]], seed: int) -> dict[str, Any]:
    """Trains one arm, and scores it on the test split as it is and with mistakes."""
    with tempfile.TemporaryDirectory() as folder:
        config = ft.RunConfig(
            task=options.task,
            model_id=options.model_id,
            max_steps=options.max_steps,
            max_length=64,
            early_stopping_patience=0,
            mixed_precision="no",
            seed=seed,
            output_dir=folder,
            **{"ema": 0.0, **ARMS[arm]},  # The average is an arm of its own.
        )
        with ft.start_run(config) as run:
            data = ft.load_data(
                run,
                train=rows["train"],
                validation=rows.get("validation"),
                test=rows.get("test"),
            )
            built = ft.build(run, data)
            trained = ft.train(run, built, data)
            evaluated = ft.evaluate(run, built, data, trained)
            test = list(noisy(data.task, data.splits.test or []))
            scores, _ = predict_and_score(
                run.accelerator,
                forward_module(built.model.model),
                data.task,
                test,
                data.task.featurize(test, data.tokenizer, max_length=config.max_length),
                pad_token_id=data.pad_token_id,
                micro_batch_tokens=run.prediction_tokens,
            )
            metric = data.task.metric
            return {
                "metric": metric,
                "validation": evaluated.scores["validation"][metric],
                "test": evaluated.scores["test"][metric],
                "noisy_test": scores[metric],
                "train_cpu_seconds": round(trained.result.cpu_seconds, 2),
                "peak_memory_bytes": trained.result.peak_memory_bytes,
                "predicted_peak_memory_bytes": built.plan and built.plan.prediction.peak_bytes,
            }


def difference(pairs: Sequence[tuple[float, float]]) -> tuple[float, float | None]:
    """Mean of paired differences, and half of its 95% interval; None for a single pair."""
    found = [ours - plain for ours, plain in pairs]
    mean = statistics.fmean(found)
    if len(found) < 2:
        return mean, None
    spread = statistics.stdev(found) / math.sqrt(len(found))
    return mean, float(student.ppf(0.975, len(found) - 1)) * spread


def table(results: Sequence[dict[str, Any]]) -> str:
    """A row an arm, size and data set."""
    columns = ["data", "rows", "arm", "seeds", "validation", "test", "test with mistakes"]
    columns += ["CPU time", "memory"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    groups: dict[tuple, dict[int, dict[str, Any]]] = {}
    for result in results:
        names = ("data", "model_id", "rows", "max_steps", "arm")
        key = tuple(result[name] for name in names)
        groups.setdefault(key, {})[result["seed"]] = result
    for key, by_seed in groups.items():
        plain = groups.get((*key[:-1], "plain"), {})
        shared = sorted(set(plain) & set(by_seed))
        if not shared:
            continue
        cells = []
        for name in ("validation", "test", "noisy_test"):
            mean = statistics.fmean(by_seed[seed][name] for seed in shared)
            change, half = difference([(by_seed[s][name], plain[s][name]) for s in shared])
            shown = "" if half is None else f" ± {half:.3f}"
            cells.append(f"{mean:.3f}" + (f" ({change:+.3f}{shown})" if key[-1] != "plain" else ""))
        for name in ("train_cpu_seconds", "peak_memory_bytes"):
            ratio = statistics.fmean(by_seed[s][name] / plain[s][name] for s in shared)
            cells.append(f"{ratio:.2f}x")
        lines.append(f"| {key[0]} | {key[2]} | {key[-1]} | {len(shared)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(options: Options) -> None:
    """Runs what is missing, keeps each result at once, and prints the table."""
    results = json.loads(FILE.read_text("utf-8")) if FILE.exists() else []
    if not options.show:
        set_num_threads(None, local_processes=1)
        given = splits(options)
        name = Path(options.train_file).parent.name if options.train_file else "sample"
        keys = ("data", "model_id", "rows", "max_steps", "arm", "seed")
        done = {tuple(result[key] for key in keys) for result in results}
        for size in map(int, options.sizes.split(",")):
            for seed in range(options.seeds):
                rows = drawn(given, size, seed, options.test_rows)
                for arm in dict.fromkeys(["plain", *options.arms.split(",")]):
                    data = f"{name} {options.task}"
                    model, steps = options.model_id, options.max_steps
                    key = (data, model, len(rows["train"]), steps, arm, seed)
                    if key in done:
                        continue
                    try:
                        found = measure(options, arm, rows, seed)
                    except UserError as error:
                        print(f"{arm}: refused: {error}")
                        continue
                    where = {"versions": versions(), "hardware": hardware(), "git": git_state()}
                    settled = dict(zip(keys, key, strict=True)) | {"settings": ARMS[arm]}
                    results.append(settled | found | where)
                    FILE.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(table(results))


if __name__ == "__main__":
    main(tyro.cli(Options))
