"""`lowcost-ft plan`: whether it fits, before anything is downloaded."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lowcost_ft.config import ModelConfig, RunConfig, TrainingConfig, parse_bytes
from lowcost_ft.errors import UserError

if TYPE_CHECKING:
    from lowcost_ft.data.features import Features
    from lowcost_ft.memory.operators import Target
    from lowcost_ft.memory.plan import Plan
    from lowcost_ft.training.step_plan import PlannedStep

__all__ = ["PlanMemory", "plan"]

_BAR = 34
"""Characters of the longest bar."""


@dataclass(frozen=True, kw_only=True)
class PlanMemory(ModelConfig, TrainingConfig):
    """Predict the peak memory of a training step from a model's config.json alone.

    Takes a recipe's flags for model and training; those that have nothing to do with memory
    change nothing. Every example is taken to be as long as --max-length allows."""

    task: Literal["ner", "classification"] = "ner"
    """What the model learns."""
    num_labels: int = 9
    """Outputs of the head."""
    max_length: int = 128
    """Longest input in tokens."""
    config_file: str | None = None
    """config.json of the model, instead of --model-id."""
    device: Literal["cuda", "cpu"] = "cuda"
    """What trains."""
    compute_capability: float = 8.6
    """Of the GPU: 7.5 is Turing (T4), 8.0 and 8.6 Ampere, 8.9 Ada, 9.0 Hopper."""
    gpus: bool = False
    """Print what fits on which card instead: a table that comes with the package."""
    json: bool = False
    """Print JSON."""
    plot: str | None = None
    """File for a picture of the parts beside the budget: .png, .svg or .pdf."""
    debug: bool = False
    """Show a traceback with each error."""


def plan(command: PlanMemory) -> None:
    """Prints the plan.

    Raises:
        UserError: A flag is wrong, or nothing that is allowed fits the budget.
    """
    if command.gpus:
        from lowcost_ft.gpu_table import print_table

        print_table(as_json=command.json)
        return
    config = _run_config(command)
    if command.plot is not None:
        _check_plot(command.plot)
    from lowcost_ft.memory.plan import part_to_change
    from lowcost_ft.training.setup import set_num_threads

    set_num_threads(command.num_threads, local_processes=1)
    target = _target(command)
    found = find(config, target, num_labels=command.num_labels)
    budget = parse_bytes(config.memory_budget) if config.memory_budget else None
    change = part_to_change(found.config, found.prediction)
    if command.json:
        record = {
            "model_id": config.model_id,
            "device": command.device,
            "mixed_precision": target.mixed_precision,
            **found.to_dict(budget),
            "micro_batch_tokens": found.config.micro_batch_tokens,
            "change_first": change,
        }
        print(json.dumps(record, indent=2))
    else:
        print("\n".join(_text(command, found, target, budget, change)))
    if command.plot is not None:
        _draw(command.plot, found, budget, title=config.model_id)


def find(config: RunConfig, target: "Target", *, num_labels: int) -> "Plan":
    """Settings that fit `config.memory_budget` for steps of the longest rows.

    Args:
        config: Model and training; only the model's `config.json` is read.
        target: The hardware.
        num_labels: Outputs of the head.
    """
    from lowcost_ft.models.loading import build_model
    from lowcost_ft.recipe_memory import find_plan, model_options
    from lowcost_ft.tasks.classification import ClassificationTask
    from lowcost_ft.tasks.ner import NerTask
    from lowcost_ft.training.forecast import Forecast

    labels = [f"label {number}" for number in range(num_labels)]
    task: Any
    if config.task == "ner":
        task = NerTask(labels, causal=False)
    else:
        task = ClassificationTask(labels, problem_type="single_label_classification")
    forecast = Forecast(
        lambda wanted: build_model(
            **model_options(
                wanted,
                task,
                labels=labels,
                mixed_precision=target.mixed_precision,
                pad_token_id=0,
            ),
            on_meta=True,
        ),
        task,
        _longest_rows(config),
        target=target,
        pad_token_id=0,
        steps=_longest_step,
    )
    budget = parse_bytes(config.memory_budget) if config.memory_budget else None
    return find_plan(config, budget, forecast)


def _run_config(command: PlanMemory) -> RunConfig:
    known = {field.name for field in fields(RunConfig)}
    values = {k: v for k, v in vars(command).items() if k in known}
    if command.config_file is not None:
        if not Path(command.config_file).is_file():
            raise UserError(f"--config-file {command.config_file}: there is no such file")
        values["model_id"] = command.config_file
    problems = []
    if command.num_labels < 1:
        problems.append(f"--num-labels {command.num_labels} is too small; at least 1")
    if command.device == "cpu" and command.mixed_precision == "fp16":
        problems.append("--mixed-precision fp16 is for a GPU: use bf16, or no")
    if problems:
        raise UserError(problems)
    return RunConfig(**values)


def _target(command: PlanMemory) -> "Target":
    import torch

    from lowcost_ft.memory.operators import Target

    major, minor = divmod(round(command.compute_capability * 10), 10)
    precision: str = command.mixed_precision
    if precision == "auto":
        precision = "no" if command.device == "cpu" else "bf16" if major >= 8 else "fp16"
    return Target(
        device=command.device,
        mixed_precision=precision,
        num_threads=torch.get_num_threads(),
        compute_capability=(major, minor),
    )


def _longest_rows(config: RunConfig) -> "Features":
    """Rows as long as allowed, and as many that are one token shorter: batches have padding."""
    import numpy as np

    from lowcost_ft.data.features import Features

    lengths = np.repeat([config.max_length, config.max_length - 1], config.batch_size)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    rows, tokens = len(lengths), int(starts[-1])
    ner = config.task == "ner"
    return Features(
        input_ids=np.full(tokens, 1, np.int32),
        starts=starts,
        examples=np.arange(rows),
        num_examples=rows,
        weights=np.ones(rows),
        token_labels=np.zeros(tokens, np.int32) if ner else None,
        words=np.zeros(tokens, np.int64) if ner else None,
        word_starts=np.arange(rows + 1) if ner else None,
        labels=None if ner else np.zeros(rows, np.int64),
    )


def _longest_step(config: RunConfig) -> "Iterator[PlannedStep]":
    """One step of `_longest_rows`: each micro-batch has one of the longest, the others shorter."""
    import numpy as np

    from lowcost_ft.training.step_plan import PlannedStep

    size = max(1, config.micro_batch_tokens // config.max_length)
    if config.gradient_accumulation_steps:
        size = -(-config.batch_size // config.gradient_accumulation_steps)
    micro_batches = []
    for first in range(0, config.batch_size, size):
        last = min(first + size, config.batch_size)
        shorter = config.batch_size + np.arange(first + 1, last)
        micro_batches.append(np.concatenate([[first], shorter]))
    tokens = config.batch_size * config.max_length
    yield PlannedStep(
        number=1,
        epoch=0,
        last_of_epoch=True,
        examples=config.batch_size,
        rows=np.concatenate(micro_batches),
        micro_batches=[micro_batches],
        weight=1.0,
        real_tokens=tokens,
        padded_tokens=tokens,
    )


def _text(
    command: PlanMemory, found: "Plan", target: "Target", budget: int | None, change: str
) -> list[str]:
    """What the command prints, at most 80 columns wide."""
    from lowcost_ft.memory.plan import megabytes

    config, prediction = found.config, found.prediction
    where = "a GPU" if command.device == "cuda" else "a CPU"
    precision = {"no": "float32"}.get(target.mixed_precision, target.mixed_precision)
    quantized = "" if config.quantization == "none" else f" on {config.quantization} weights"
    lines = [
        f"{config.model_id}",
        f"{config.method}{quantized}, {config.task}, on {where}, {precision}",
        f"{config.batch_size} examples of up to {config.max_length} tokens a step, in "
        f"micro-batches of {config.micro_batch_tokens:,} tokens",
        "",
    ]
    parts = dict(prediction.parts)
    if prediction.reserved_bytes > prediction.peak_bytes:
        parts["fragments"] = prediction.reserved_bytes - prediction.peak_bytes
    if prediction.context_bytes:
        parts["CUDA context"] = prediction.context_bytes
    largest = max(parts.values())
    for part, size in parts.items():
        bar = "#" * round(_BAR * size / largest)
        lines.append(f"  {part:<14}{megabytes(size):>12}  {bar}".rstrip())
    lines.append(f"  {'needed':<14}{megabytes(prediction.needed_bytes):>12}")
    if budget is not None:
        lines.append(f"  {'budget':<14}{megabytes(budget):>12}")
    lines.append("")
    for choice in found.choices:
        value = "" if choice.value is True else f" {choice.value}"
        lines += [
            f"--{choice.setting.replace('_', '-')}{value}: {megabytes(choice.needed_bytes)}",
            f"  {choice.cost}",
        ]
    lines += [
        f"arithmetic: {prediction.flops / 1e12:,.2f} TFLOP a step",
        f"to save memory, change first: {change}",
    ]
    return lines


def _check_plot(file: str) -> None:
    from importlib.util import find_spec

    problems = []
    if Path(file).suffix.lower() not in (".png", ".svg", ".pdf"):
        problems.append(f"--plot {file}: name a .png, .svg or .pdf file")
    if not Path(file).absolute().parent.is_dir():
        problems.append(f"--plot {file}: there is no folder {Path(file).parent}")
    if find_spec("matplotlib") is None:
        problems.append("--plot needs matplotlib: pip install 'lowcost_ft[report]'")
    if problems:
        raise UserError(problems)


def _draw(file: str, found: "Plan", budget: int | None, *, title: str) -> None:
    """A bar of all parts, one after the other, and the budget as a line."""
    from matplotlib.figure import Figure

    from lowcost_ft.report.drawing import COLORS, HATCHES

    parts = found.prediction.parts | {"context": found.prediction.context_bytes}
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = figure.subplots()
    left = 0.0
    for number, (part, size) in enumerate(p for p in parts.items() if p[1]):
        axes.barh(
            [0],
            [size / 1e6],
            left=left,
            height=0.5,
            label=part,
            color=COLORS[number % len(COLORS)],
            hatch=HATCHES[number % len(HATCHES)],
            edgecolor="white",
        )
        left += size / 1e6
    if budget is not None:
        axes.axvline(budget / 1e6, color="black", linestyle="--", label="budget")
    axes.set_yticks([])
    axes.set_xlabel("MB at the peak of a training step")
    axes.set_title(Path(title).name if Path(title).exists() else title, parse_math=False)
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(file, dpi=150)
