"""How far predicted peak memory is from the measured one, over a grid of models and settings.

    python benchmarks/memory_accuracy.py                   # on the CPU, some minutes
    python benchmarks/memory_accuracy.py --device cuda     # on a GPU, bf16 where it has it
    python benchmarks/memory_accuracy.py --writing         # translation, into DEVICE-writing.json
    python benchmarks/memory_accuracy.py --answers         # relations, questions: DEVICE-answers

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
from functools import partial
from pathlib import Path
from typing import Any

import torch
from memory_grid import (
    MODELS,
    WRITING_MODELS,
    Point,
    grid,
    made_up_rows,
    write_model,
    writing_grid,
)

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import Features
from lowcost_ft.frozen.cache import cached_layers
from lowcost_ft.memory.operators import Target
from lowcost_ft.models.frozen_precision import hold_frozen_weights
from lowcost_ft.models.hub import load_config
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
    if point.task not in ("ner", "classification"):
        kind = task_class(point.task)
        task = kind.for_planning([] if kind.generates else LABELS)
        task.take_model(load_config(folder), model_id=folder)
    features = made_up_rows(point, task.schema)

    def build(wanted: RunConfig, *, on_meta: bool) -> BuiltModel:
        options = model_options(
            wanted,
            task,
            labels=task.labels or LABELS,
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
            micro_batch_tokens=config.settled_micro_batch_tokens,
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
    parser.add_argument("--families", default=None, help="comma-separated; others are kept")
    parser.add_argument("--writing", action="store_true", help="models that write texts")
    parser.add_argument("--answers", action="store_true", help="relation extraction, questions")
    parser.add_argument("--results-dir", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("error: there is no CUDA GPU here: run this on a machine that has one")
        return 2
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    accelerator = build_accelerator(mixed_precision="auto" if options.device == "cuda" else "no")
    known = WRITING_MODELS if options.writing else MODELS
    wanted = list(known) if options.families is None else options.families.split(",")
    points = []
    with tempfile.TemporaryDirectory() as folder:
        folders = {
            family: write_model(family, Path(folder) / family, writes=options.writing)
            for family in wanted
        }
        asked = grid(("relation", "question_answering")) if options.answers else grid()
        for point in writing_grid() if options.writing else asked:
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
    name = options.device
    name += "-writing" if options.writing else "-answers" if options.answers else ""
    file = options.results_dir / f"{name}.json"
    if options.families is not None and file.exists():  # The others' points stay.
        before = json.loads(file.read_text("utf-8"))["points"]
        points = [p for p in before if p["family"] not in wanted] + points
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
    file.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    print(json.dumps(record["summary"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
