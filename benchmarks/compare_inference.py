"""Prediction speed: ours against `transformers.pipeline`, from one run folder, texts to entities.

    python benchmarks/compare_inference.py
    python benchmarks/compare_inference.py --run RUN --file wnut17/test.conll --rounds 5

Without arguments: the embedded sample, and a LoRA adapter of MiniLM that `recipes/lora_ner.py`
trains for a few steps first. The pipeline is loaded as the run's model card shows, with batches of
16; ours as `lowcost-ft predict` loads it. The two take turns; medians are over the rounds.
"""

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
            result = compare(options, options.run or train(Path(scratch)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, result)
    for name, rate in result["real_tokens_per_second"].items():
        print(f"{name:10}{rate:9,} tokens/s")
    print(
        f"ours over the pipeline: {result['ours_over_pipeline']}; the same entities in "
        f"{result['same_entities']:.1%} of {result['texts']:,} texts"
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


def compare(options: Options, folder: Path) -> dict[str, Any]:
    """Both ways in turns, after a warm-up of each."""
    record = load_run(folder)
    if record["task"] != "ner":
        raise UserError(f"--run {folder}: {record['task']}, but only NER is compared")
    ours = load_predictor(folder, num_threads=options.num_threads)
    texts = load_texts(options, ours)
    usual = load_pipeline(folder, record, ours, options.batch_size)
    ways: dict[str, Callable[[list[str]], Any]] = {"pipeline": usual, "ours": ours}
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
    ratios = [p / o for p, o in zip(seconds["pipeline"], seconds["ours"], strict=True)]
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
        "ours_over_pipeline": round(statistics.median(ratios), 2),
        "same_entities": same_entities(answers),
    }


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


def same_entities(answers: dict[str, Any]) -> float:
    """Share of the texts in which both find the same entities in the same places.

    Not all: the pipeline splits texts into words by rules of its own.
    """
    same = [
        [(entity["start"], entity["end"], entity["label"]) for entity in ours["entities"]]
        == [(entity["start"], entity["end"], entity["entity_group"]) for entity in theirs]
        for theirs, ours in zip(answers["pipeline"], answers["ours"], strict=True)
    ]
    return round(sum(same) / len(same), 4)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
