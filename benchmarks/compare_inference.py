"""Prediction speed: ours against `transformers.pipeline`, from one run folder, texts to entities.

    python benchmarks/compare_inference.py
    python benchmarks/compare_inference.py --run RUN --file wnut17/test.conll --rounds 5

Without arguments: the embedded sample, and a LoRA adapter of MiniLM that `recipes/lora_ner.py`
trains for a few steps first. The pipeline is loaded as the run's model card shows, with batches of
16; ours as `lowcost-ft predict` loads it: "ours" with weights in float32, and, if the run is a LoRA
adapter, "ours-int8" as after a training with `--quantization int8`; with `--exported FOLDER`, what
`lowcost-ft export --precision fp32,int8` made of the run, too. All take turns; medians are over the
rounds. With `--labelled` each of ours is scored on the file.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from transformers import pipeline

from lowcost_ft.errors import UserError
from lowcost_ft.models.hub import quiet_libraries
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.pipeline.predictor import Predictor
from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.record.run_file import load_run, write_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "speed"
TRAINING_STEPS = 30
"""Enough for a model that finds something; what it finds has no influence on the time."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to compare, and how often."""

    run: Path | None = None
    """Folder of a finished NER run. Default: one is trained on the embedded sample."""
    file: Path | None = None
    """Texts, in any format that `lowcost-ft predict` reads. Default: the sample's test split."""
    labelled: bool = False
    """Whether the file has labels: then each of ours is scored on it."""
    exported: Path | None = None
    """What `lowcost-ft export` made of the run, in fp32 and int8."""
    batch_size: int = 16
    """Texts that the pipeline takes at once."""
    rounds: int = 3
    """Rounds."""
    num_threads: int | None = None
    """CPU threads. Default: the physical cores."""
    output: Path | None = None
    """Results file. Default: in benchmarks/results/speed, by the name of the data."""


def main(options: Options) -> int:
    """Runs the rounds and writes the results; returns the exit code."""
    data = options.file.parent.name if options.file else "sample"
    file = options.output or RESULTS / f"inference-{data}-ner.json"
    try:
        with tempfile.TemporaryDirectory(prefix="compare-inference-") as scratch:
            result = compare(options, options.run or train(Path(scratch)), Path(scratch))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, result)
    for name, rate in result["real_tokens_per_second"].items():
        print(f"{name:15}{rate:9,} tokens/s")
    print(
        f"ours over the pipeline: {result['ours_over_pipeline']}; the same entities in "
        f"{result['same_entities']:.1%} of {result['texts']:,} texts"
    )
    for name, way in result["others"].items():
        print(
            f"{name} over the pipeline: {way['over_pipeline']}; the same entities as ours in "
            f"{way['same_entities_as_ours']:.1%} of the texts"
        )
    print(f"written to {file}", file=sys.stderr)
    return 0


def train(scratch: Path) -> Path:
    """A run folder, trained for some steps on the embedded sample."""
    recipe, folder = ROOT / "recipes" / "lora_ner.py", scratch / "run"
    flags = ["--max-steps", str(TRAINING_STEPS), "--output-dir", str(folder)]
    done = subprocess.run(
        [sys.executable, str(recipe), *flags], capture_output=True, text=True, cwd=scratch
    )
    if done.returncode:
        raise UserError(f"{recipe.name} failed:\n{done.stderr.strip()[-2000:]}")
    return folder


def compare(options: Options, folder: Path, scratch: Path) -> dict[str, Any]:
    """All ways in turns, after a warm-up of each."""
    record = load_run(folder)
    if record["task"] != "ner":
        raise UserError(f"--run {folder}: {record['task']}, but only NER is compared")
    predictors = load_ours(options, folder, scratch)
    ours = predictors["ours"]
    texts = load_texts(options, ours)
    usual = load_pipeline(folder, record, ours, options.batch_size)
    ways: dict[str, Callable[[list[str]], Any]] = {"pipeline": usual, **predictors}
    answers = {name: way(texts) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1, options.rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way(texts)
            seconds[name].append(round(time.perf_counter() - started, 3))
        print(f"round {number}", file=sys.stderr, flush=True)
    tokens = sum(map(len, ours.tokenizer(texts)["input_ids"]))
    config = {"data": options.file.name if options.file else "sample"}
    over = {name: over_pipeline(seconds, name) for name in predictors}
    return {
        "status": "completed",
        "model_id": record["model_id"],
        "method": record["method"],
        "config": config | {"batch_size": options.batch_size, "rounds": options.rounds},
        "versions": versions(),
        "hardware": hardware(),
        "git": git_state(),
        "texts": len(texts),
        "real_tokens": tokens,
        "seconds": seconds,
        "real_tokens_per_second": {
            name: round(tokens / statistics.median(of_way)) for name, of_way in seconds.items()
        },
        "ours_over_pipeline": over["ours"],
        "same_entities": same_entities(answers["pipeline"], answers["ours"], "entity_group"),
        "others": {
            name: {
                "over_pipeline": over[name],
                "same_entities_as_ours": same_entities(answers[name], answers["ours"]),
            }
            for name in predictors
            if name != "ours"
        },
        "f1": {
            name: round(predictor.evaluate(str(options.file))["f1"], 5)
            for name, predictor in predictors.items()
        }
        if options.file and options.labelled
        else {},
    }


def load_ours(options: Options, folder: Path, scratch: Path) -> dict[str, Predictor]:
    """The run with weights in float32 and as int8, and what was exported of it."""
    threads = options.num_threads
    record = load_run(folder)
    folders: dict[str, tuple[Path, str | None]] = {"ours": (folder, None)}
    if record["method"] == "lora" and record["config"]["quantization"] in ("none", "int8"):
        for name, quantization in (("ours", "none"), ("ours-int8", "int8")):
            copy = scratch / name
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("checkpoint*"))
            changed = record | {"quantization": quantization}
            (copy / "run.json").write_text(json.dumps(changed), "utf-8")
            folders[name] = (copy, None)
    if options.exported:
        for precision in ("fp32", "int8"):
            folders[f"exported-{precision}"] = (options.exported, precision)
    return {
        name: load_predictor(path, num_threads=threads, precision=precision)
        for name, (path, precision) in folders.items()
    }


def over_pipeline(seconds: dict[str, list[float]], name: str) -> float:
    """The median over the rounds of how many times as fast as the pipeline a way was."""
    pairs = zip(seconds["pipeline"], seconds[name], strict=True)
    return round(statistics.median(theirs / ours for theirs, ours in pairs), 2)


def load_texts(options: Options, ours: Predictor) -> list[str]:
    """The texts to predict; those of a file of words are joined by spaces."""
    if options.file:
        return [answer["text"] for answer in ours.predict(ours.read(str(options.file)))]
    from lowcost_ft.tasks.loading import load_splits

    return [" ".join(example.words) for example in load_splits("ner").test or []]


def load_pipeline(folder: Path, record: dict[str, Any], ours: Predictor, batch_size: int) -> Any:
    """The run folder as transformers loads it."""
    labels = dict(enumerate(record["labels"]))
    with quiet_libraries():
        return pipeline(
            "token-classification",
            model=str(folder),
            model_kwargs={
                "id2label": labels,
                "label2id": {label: number for number, label in labels.items()},
            },
            aggregation_strategy="first",
            batch_size=batch_size,
            device=ours.accelerator.device,
        )


def same_entities(some: list[Any], ours: list[Any], label: str = "label") -> float:
    """Share of the texts in which both find the same entities in the same places.

    The pipeline's are never all the same: it splits texts into words by rules of its own.
    """
    same = [
        [(entity["start"], entity["end"], entity["label"]) for entity in our["entities"]]
        == [
            (entity["start"], entity["end"], entity[label])
            for entity in (one["entities"] if isinstance(one, dict) else one)
        ]
        for one, our in zip(some, ours, strict=True)
    ]
    return round(sum(same) / len(same), 4)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
