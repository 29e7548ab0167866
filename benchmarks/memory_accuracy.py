"""How far predicted peak memory is from the measured one, over a grid of models and settings.

    python benchmarks/memory_accuracy.py                   # on the CPU, some minutes
    python benchmarks/memory_accuracy.py --device cuda     # on a GPU, bf16 where it has it

Each point is one optimizer step of a model with random weights: predicted on the meta device, then
run twice, of which the second is measured by the allocator's own account. The results are written
to benchmarks/results/memory/DEVICE.json; `make results` puts their summary into docs/results.md.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import Features
from lowcost_ft.frozen.cache import cached_layers
from lowcost_ft.memory.operators import Target
from lowcost_ft.models.frozen_precision import hold_frozen_weights
from lowcost_ft.models.loading import BuiltModel, build_model, forward_module
from lowcost_ft.models.quantization import compute_dtype
from lowcost_ft.pipeline.memory import model_options
from lowcost_ft.planning.forecast import Forecast
from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.classification import ClassificationTask
from lowcost_ft.tasks.ner import NerTask
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.extensions.registry import build_extensions
from lowcost_ft.training.optimizer import build_optimizer, parameter_groups
from lowcost_ft.training.setup import build_accelerator
from lowcost_ft.training.step_plan import planned_steps
from lowcost_ft.training.step_replay import rehearse
from lowcost_ft.training.steps import StepRunner

RESULTS = Path(__file__).resolve().parent / "results" / "memory"
LABELS = ["O", "B-a", "I-a", "B-b", "I-b"]
_SHAPE = {"vocab_size": 8000, "hidden_size": 256, "num_hidden_layers": 4}
_SHAPE |= {"num_attention_heads": 4, "intermediate_size": 1024, "max_position_embeddings": 600}
_SHAPE |= {"pad_token_id": 1}

MODELS: dict[str, dict[str, Any]] = {
    "bert": {},
    "distilbert": {"dim": 256, "n_layers": 4, "n_heads": 4, "hidden_dim": 1024},
    "roberta": {},
    "electra": {"embedding_size": 128},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 64,
        "pos_att_type": ["p2c", "c2p"],
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_biased_input": False,
        "type_vocab_size": 0,
        "pooler_hidden_size": 256,
    },
    "modernbert": {"local_attention": 64, "cls_token_id": 2, "sep_token_id": 3},
    "gpt2": {"n_embd": 256, "n_layer": 4, "n_head": 4, "n_positions": 600},
    "llama": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 64},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "lora, checkpointing": {"method": "lora", "gradient_checkpointing": True},
    "full": {"method": "full"},
    "lora on 8bit": {"method": "lora", "quantization": "8bit"},
    "lora on nf4, checkpointing": {
        "method": "lora",
        "quantization": "nf4",
        "gradient_checkpointing": True,
    },
    "lora, top 2 layers": {"method": "lora", "trainable_layers": 2},
    "lora, top 2 layers, cached": {
        "method": "lora",
        "trainable_layers": 2,
        "cache_frozen_layers": True,
    },
}
SHAPES = [(64, 16, 4096), (128, 8, 512), (256, 8, 1024), (384, 4, 4096), (96, 16, 384)]
"""Longest row, rows a step, and tokens a micro-batch may hold."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One step of the grid."""

    family: str
    setting: str
    task: str
    length: int
    batch_size: int
    micro_batch_tokens: int

    def config(self, folder: str, mixed_precision: str) -> RunConfig:
        """The settings of a run with this step."""
        return RunConfig(
            task="ner" if self.task == "ner" else "classification",
            model_id=folder,
            max_length=self.length,
            batch_size=self.batch_size,
            micro_batch_tokens=self.micro_batch_tokens,
            mixed_precision="auto" if mixed_precision == "fp16" else mixed_precision,  # type: ignore[arg-type]
            num_train_epochs=1,
            dropout="model",  # more to predict than without
            **SETTINGS[self.setting],
        )


def grid() -> Iterator[Point]:
    """Every family with every setting; lengths, batches and tasks in turn."""
    number = 0
    for family in MODELS:
        for setting in SETTINGS:
            length, batch_size, tokens = SHAPES[number % len(SHAPES)]
            number += 1
            yield Point(
                family=family,
                setting=setting,
                task=("ner", "classification")[number % 2],
                length=length,
                batch_size=batch_size,
                micro_batch_tokens=tokens,
            )


def write_model(family: str, folder: Path) -> str:
    """A checkpoint with random weights."""
    fields = _SHAPE | MODELS[family]
    config = AutoConfig.for_model(family, **fields)
    AutoModel.from_config(config).save_pretrained(folder)
    return str(folder)


def made_up_rows(point: Point) -> Features:
    """Rows of falling length, the first as long as allowed."""
    lengths = np.maximum(8, point.length - 3 * np.arange(point.batch_size))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    rows, tokens = len(lengths), int(starts[-1])
    kind = task_class(point.task)
    return Features(
        input_ids=np.full(tokens, 5, np.int32),
        starts=starts,
        examples=np.arange(rows),
        num_examples=rows,
        weights=np.ones(rows),
        arrays=kind.blank_arrays(rows, tokens),
        schema=kind.schema,
    )


def run_point(point: Point, folder: str, accelerator: Any) -> dict[str, Any]:
    """Predicts and measures one point."""
    device = accelerator.device
    on_cuda = device.type == "cuda"
    config = point.config(folder, accelerator.mixed_precision)
    task: Task = (
        NerTask(LABELS, causal=False)
        if point.task == "ner"
        else ClassificationTask(LABELS, problem_type="single_label_classification")
    )
    features = made_up_rows(point)

    def build(wanted: RunConfig, *, on_meta: bool) -> BuiltModel:
        options = model_options(
            wanted,
            task,
            labels=LABELS,
            mixed_precision=accelerator.mixed_precision,
            pad_token_id=1,
        )
        return build_model(**options, on_meta=on_meta)

    target = Target(
        device=device.type,
        mixed_precision=accelerator.mixed_precision,
        num_threads=torch.get_num_threads(),
        compute_capability=torch.cuda.get_device_capability(device) if on_cuda else (0, 0),
    )
    forecast = Forecast(
        partial(build, on_meta=True),
        task,
        features,
        target=target,
        pad_token_id=1,
        extend=partial(_extensions, task, features),
    )
    started = time.perf_counter()
    prediction = forecast(config)
    seconds = time.perf_counter() - started
    measured = _measure(build(config, on_meta=False), task, features, config, accelerator)
    error = prediction.peak_bytes / measured - 1
    return {
        **vars(point),
        "predicted_bytes": prediction.peak_bytes,
        "measured_bytes": measured,
        "error": round(error, 6),
        "parts": prediction.parts,
        "seconds_to_predict": round(seconds, 2),
    }


def _extensions(task: Task, features: Features, config: RunConfig, built: BuiltModel) -> Extensions:
    context = TrainingContext(
        settings=config, model=built.model, task=task, features=features, pad_token_id=1
    )
    return build_extensions(context)


def _measure(
    built: BuiltModel, task: Task, features: Features, config: RunConfig, accelerator: Any
) -> int:
    device = accelerator.device
    hold_frozen_weights(
        built.model,
        compute_dtype(accelerator.mixed_precision),
        family=built.family,
        top_layers=config.trainable_layers if config.cache_frozen_layers else None,
    )
    model = forward_module(built.model).to(device).train()

    def make_optimizer() -> torch.optim.Optimizer:
        groups = parameter_groups(
            model.named_parameters(),
            head_names=built.head_names,
            learning_rate=1e-4,
            head_learning_rate=None,
            weight_decay=0.01,
        )
        return build_optimizer(groups, name=config.optimizer, device=device)

    def measured(cached: Any) -> int:
        runner = StepRunner(
            accelerator,
            model,
            task,
            features,
            pad_token_id=1,
            max_grad_norm=1.0,
            cached=cached,
            extensions=_extensions(task, features, config, built),
        )
        steps = planned_steps(features, config, 1)
        if device.type == "cpu":
            return rehearse(runner, steps, make_optimizer)
        optimizer, (step,) = make_optimizer(), list(steps)
        runner.step(optimizer, step)
        torch.cuda.reset_peak_memory_stats(device)
        runner.step(optimizer, step)
        return torch.cuda.max_memory_allocated(device)

    if not config.cache_frozen_layers:
        return measured(None)
    assert config.trainable_layers is not None
    with (
        tempfile.TemporaryDirectory() as folder,
        cached_layers(
            accelerator,
            model,
            built.family,
            {"train": features},
            trainable_layers=config.trainable_layers,
            head_names=built.head_names,
            model_id=config.model_id,
            max_length=config.max_length,
            pad_token_id=1,
            micro_batch_tokens=config.micro_batch_tokens,
            cache_dir=folder,
            say=lambda text: None,
        ) as report,
    ):
        return measured(report.states["train"])


def summarize(points: list[dict[str, Any]]) -> dict[str, float]:
    """Median, 95th percentile and worst of the absolute errors, and the shares predicted low."""
    errors = sorted(abs(point["error"]) for point in points)
    return {
        "points": len(points),
        "median": statistics.median(errors),
        "percentile_95": errors[min(len(errors) - 1, round(0.95 * (len(errors) - 1)))],
        "worst": errors[-1],
        "share_under": sum(point["error"] < 0 for point in points) / len(points),
        "share_under_by_1_percent": sum(p["error"] < -0.01 for p in points) / len(points),
    }


def main() -> int:
    """Runs the grid and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--families", default=",".join(MODELS), help="comma-separated")
    parser.add_argument("--results-dir", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("error: there is no CUDA GPU here: run this on a machine that has one")
        return 2
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    accelerator = build_accelerator(mixed_precision="auto" if options.device == "cuda" else "no")
    wanted = options.families.split(",")
    points = []
    with tempfile.TemporaryDirectory() as folder:
        folders = {family: write_model(family, Path(folder) / family) for family in wanted}
        for point in grid():
            if point.family not in wanted:
                continue
            result = run_point(point, folders[point.family], accelerator)
            points.append(result)
            print(
                f"{point.family:11} {point.setting:27} {point.task:15} {point.length:4} x "
                f"{point.batch_size:2}  {result['predicted_bytes'] / 1e6:8.1f} MB predicted, "
                f"{result['measured_bytes'] / 1e6:8.1f} measured, {result['error']:+.3%}",
                flush=True,
            )
            gc.collect()
            if options.device == "cuda":
                torch.cuda.empty_cache()
    record = {
        "device": options.device,
        "mixed_precision": accelerator.mixed_precision,
        "versions": versions(),
        "hardware": hardware(),
        "git": git_state(),
        "summary": summarize(points),
        "points": points,
    }
    options.results_dir.mkdir(parents=True, exist_ok=True)
    file = options.results_dir / f"{options.device}.json"
    file.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    print(json.dumps(record["summary"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
