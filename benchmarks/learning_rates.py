"""Tries learning rates for every method on the embedded sample: what the defaults were chosen by.

    python benchmarks/learning_rates.py
    python benchmarks/learning_rates.py --methods ia3,prompt --rates 0.01,0.03

MiniLM learns to mark entities for a hundred steps of 8 messages; the score is entity F1 on the
validation split. Results are added to `benchmarks/learning_rates.json`; what is there already is
not run again.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from accelerate.utils import set_seed

from lowcost_ft.config import DEFAULT_MODEL_ID, RunConfig
from lowcost_ft.data.loading import load_splits
from lowcost_ft.evaluation import evaluate
from lowcost_ft.methods import METHODS
from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer
from lowcost_ft.tasks.ner import NerTask
from lowcost_ft.training.checkpoint import Checkpoints
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.registry import build_extensions
from lowcost_ft.training.loop import train
from lowcost_ft.training.setup import build_accelerator, set_num_threads

FILE = Path(__file__).resolve().parent / "learning_rates.json"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to try."""

    methods: str = ",".join(method.name for method in METHODS)
    """Comma-separated methods."""
    rates: str | None = None
    """Comma-separated rates. Default: a third, one and three times the method's own."""
    max_steps: int = 100
    """Optimizer steps."""


def score(method: str, rate: float, max_steps: int, seed: int = 0) -> float:
    """Validation F1 after training from the start."""
    config = RunConfig(task="ner", max_steps=max_steps, batch_size=8, seed=seed)
    splits = load_splits("ner", seed=seed)
    tokenizer = load_tokenizer(DEFAULT_MODEL_ID, words=True)
    task = NerTask(splits.labels, causal=False)
    features = {
        name: task.featurize(getattr(splits, name), tokenizer, max_length=config.max_length)
        for name in ("train", "validation")
    }
    built = build_model(
        DEFAULT_MODEL_ID,
        head="token",
        labels=splits.labels,
        method=method,
        quantization="nf4" if method == "loftq" else "none",
        seed=seed,
    )
    accelerator = build_accelerator(mixed_precision="no")
    set_seed(seed)

    def validate(model: Any) -> dict[str, Any]:
        scores, _ = evaluate(
            accelerator,
            model,
            task,
            splits.validation,
            features["validation"],
            pad_token_id=tokenizer.pad_token_id,
            micro_batch_tokens=config.micro_batch_tokens,
        )
        return scores

    with tempfile.TemporaryDirectory() as folder:
        result = train(
            accelerator,
            forward_module(built.model),
            task,
            features["train"],
            settings=config,
            learning_rate=rate,
            head_names=built.head_names,
            pad_token_id=tokenizer.pad_token_id,
            validate=validate,
            checkpoints=Checkpoints(accelerator=accelerator, folder=Path(folder)),
            extensions=build_extensions(
                TrainingContext(
                    settings=config,
                    model=built.model,
                    task=task,
                    features=features["train"],
                    pad_token_id=tokenizer.pad_token_id,
                )
            ),
        )
    return result.validation_history[-1]["f1"]


def main(options: Options) -> None:
    """Tries what is missing, and keeps each result at once."""
    set_num_threads(None, local_processes=1)
    rows = json.loads(FILE.read_text("utf-8")) if FILE.exists() else []
    done = {(row["method"], row["rate"], row["max_steps"]) for row in rows}
    names = options.methods.split(",")
    for factor in (1, 3, 1 / 3):
        for method in (method for method in METHODS if method.name in names):
            rates = [float(f"{method.rate * factor:.1g}")]
            if options.rates:
                rates = [float(rate) for rate in options.rates.split(",")]
            for rate in rates:
                key = (method.name, rate, options.max_steps)
                if key in done:
                    continue
                started = time.perf_counter()
                f1 = score(method.name, rate, options.max_steps)
                done.add(key)
                rows.append(dict(zip(("method", "rate", "max_steps"), key, strict=True)))
                rows[-1] |= {"f1": round(f1, 4)}
                rows.sort(key=lambda row: (row["method"], row["max_steps"], row["rate"]))
                lines = ",\n".join(json.dumps(row) for row in rows)
                FILE.write_text(f"[\n{lines}\n]\n", "utf-8")
                seconds = time.perf_counter() - started
                print(f"{method.name} {rate:g}: F1 {f1:.3f}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
