"""`lowcost-ft plan`: whether it fits, before anything is downloaded."""

import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lowcost_ft.config.flags import explanations, narrow, parse_groups
from lowcost_ft.config.run import RunConfig, flag_groups
from lowcost_ft.config.setting import setting
from lowcost_ft.config.settings import DEFAULT_MODEL_ID, ModelConfig, TrainingConfig
from lowcost_ft.config.tasks import task_names, task_settings
from lowcost_ft.config.values import parse_bytes
from lowcost_ft.errors import UserError
from lowcost_ft.models.shipped_configs import shipped_config, shipped_name
from lowcost_ft.record.overwriting import check_not_read, paths_of_settings
from lowcost_ft.report.plan_plot import check_plot, draw_plan
from lowcost_ft.screen import print_json
from lowcost_ft.tasks import task_class

if TYPE_CHECKING:
    from lowcost_ft.memory.operators import Target

__all__ = ["PlanMemory", "parse_plan", "plan"]


@dataclass(frozen=True, kw_only=True)
class PlanFlags:
    """Flags that only a plan has. They come first in `--help`."""

    task: str = task_names()[0]
    """What the model learns."""
    num_labels: int = 9
    """Outputs of the head."""
    max_length: int | None = setting(None, at_least=8)
    """Longest input in tokens. Default: that of the task's recipe."""
    max_target_length: int | None = setting(None, at_least=2)
    """Longest target in tokens, of tasks that write: in an encoder-decoder it comes on top of
    --max-length, in a decoder it is a part of it. Default: that of the task's recipe."""
    config_file: str | None = None
    """config.json of the model, instead of --model-id."""
    device: Literal["cuda", "cpu"] = "cuda"
    """Device to train on."""
    compute_capability: float = 8.6
    """Compute capability of the GPU: 7.5 Turing (T4), 8.0 and 8.6 Ampere, 8.9 Ada, 9.0 Hopper."""
    examples: int = 1000
    """With --cache-frozen-layers: number of examples in all splits, whose states go to disk."""
    disk_rate: str = "500MB"
    """With --cache-frozen-layers: speed of the disk, in bytes a second."""
    gpus: bool = False
    """Print a table of what fits on which GPU instead; it comes with the package."""
    json: bool = False
    """Print JSON."""
    plot: str | None = None
    """File for a plot of the parts and the budget: .png, .svg or .pdf."""
    debug: bool = False
    """Show a traceback with each error."""


@dataclass(frozen=True, kw_only=True)
class PlanMemory(TrainingConfig, ModelConfig, PlanFlags):
    """Predict the peak memory of a training step from a model's config.json alone.

    Takes the flags of a recipe for model and training; those that do not affect memory are
    accepted and ignored. Every example is assumed to be as long as --max-length allows."""


def parse_plan(arguments: Sequence[str], *, prog: str) -> PlanMemory:
    """Reads a command line; `--help` shows what only a plan has first, then a recipe's groups.

    Raises:
        SystemExit: For `--help` and for wrong flags.
    """
    of_recipes = flag_groups()
    shared = ("model", "training", "extensions", "memory and time")
    groups = {
        "plan": list(explanations(PlanFlags)),
        **{title: of_recipes[title] for title in shared},
    }
    description = narrow(inspect.getdoc(PlanMemory) or "")
    values = parse_groups(groups, PlanMemory(), arguments, prog=prog, description=description)
    return PlanMemory(**values)


def plan(command: PlanMemory) -> None:
    """Prints the plan.

    Raises:
        UserError: A flag is wrong, or nothing that is allowed fits the budget.
    """
    if command.gpus:
        from lowcost_ft.planning.gpu_table import print_table

        if others := _given(command, *_names_but("gpus", "json", "debug")):
            raise UserError(f"--gpus prints a fixed table: remove {', '.join(others)}")
        print_table(as_json=command.json)
        return
    config = _run_config(command)
    if config.torch_compile:
        print(
            "note: --torch-compile is ignored: the prediction is for layers that are not compiled",
            file=sys.stderr,
        )
    if command.plot is not None:
        check_plot(command.plot)
        reads = paths_of_settings(vars(command))
        check_not_read("--plot", command.plot, replaced=[Path(command.plot)], reads=reads)
    from lowcost_ft.planning.find_plan import find_plan
    from lowcost_ft.planning.longest_rows import longest_forecast
    from lowcost_ft.planning.part_to_change import part_to_change
    from lowcost_ft.planning.plan_text import plan_text
    from lowcost_ft.training.setup import set_num_threads

    _check_outputs(command)
    set_num_threads(command.num_threads, local_processes=1)
    target = _target(command)
    with _at_hand(config) as readable:
        forecast = longest_forecast(readable, target, num_labels=command.num_labels)
        budget = parse_bytes(config.memory_budget) if config.memory_budget else None
        found = find_plan(readable, budget, forecast)
        cache = forecast.cache_needs(found.config, command.examples * config.max_length)
        change = part_to_change(found.config, found.prediction)
    found = replace(found, config=replace(found.config, model_id=config.model_id))
    if command.json:
        record = {
            "model_id": config.model_id,
            "device": command.device,
            "mixed_precision": target.mixed_precision,
            **found.to_dict(budget),
            "frozen_layers": cache and cache.to_dict(parse_bytes(command.disk_rate)),
            "micro_batch_tokens": found.config.settled_micro_batch_tokens,
            "change_first": change,
        }
        print_json(record, indent=2)
    else:
        lines = plan_text(
            found,
            target,
            budget=budget,
            cache=cache,
            change=change,
            examples=command.examples,
            disk_rate=command.disk_rate,
        )
        print("\n".join(lines))
    if command.plot is not None:
        draw_plan(command.plot, found, budget, title=config.model_id)


def _check_outputs(command: PlanMemory) -> None:
    """Refuses a number of outputs for a task that always has another one."""
    labels = [f"label {number}" for number in range(command.num_labels)]
    outputs = len(task_class(command.task).for_planning(labels).labels)
    if _given(command, "num_labels") and outputs != command.num_labels:
        title = task_settings(command.task).title
        raise UserError(
            f"--num-labels {command.num_labels} cannot be chosen for {title}, whose head "
            f"always has {outputs} outputs: leave it out"
        )


@contextmanager
def _at_hand(config: RunConfig) -> Iterator[RunConfig]:
    """The same, with the shipped configuration of a model that is not on this machine.

    Nobody is asked for it then: the Hub may be out of reach, and gives some models to few.
    """
    from lowcost_ft.models.hub import model_folder

    name = None if config.revision else shipped_name(config.model_id)
    if name is None or model_folder(config.model_id) is not None:
        yield config
        return
    print(
        f"note: {config.model_id} is not on this machine: the configuration of {name} that comes "
        "with lowcost_ft is used",
        file=sys.stderr,
    )
    with shipped_config(name) as file:
        yield replace(config, model_id=str(file))


def _names_but(*names: str) -> list[str]:
    return [field.name for field in fields(PlanMemory) if field.name not in names]


def _given(command: PlanMemory, *names: str) -> list[str]:
    """Those of the named flags whose value is not the default."""
    defaults = {field.name: field.default for field in fields(command)}
    changed = [name for name in names if getattr(command, name) != defaults[name]]
    return ["--" + name.replace("_", "-") for name in sorted(changed)]


def _run_config(command: PlanMemory) -> RunConfig:
    known = {field.name for field in fields(RunConfig)}
    values = {k: v for k, v in vars(command).items() if k in known}
    usual = task_settings(command.task)
    for name in ("max_length", "max_target_length"):
        if values[name] is None:
            values[name] = getattr(usual, name)
    problems = []
    if command.config_file is not None:
        problems += _config_file_problems(command)
        values["model_id"] = command.config_file
    for flag, value in (("num-labels", command.num_labels), ("examples", command.examples)):
        if value < 1:
            problems.append(f"--{flag} {value} is too small: it must be at least 1")
    try:
        if parse_bytes(command.disk_rate) < 1:
            problems.append(f"--disk-rate {command.disk_rate} is too small")
    except ValueError as error:
        problems.append(f"--disk-rate {error}")
    if not command.cache_frozen_layers and not command.memory_budget:
        unused = _given(command, "examples", "disk_rate")
        problems += [f"{flag} needs --cache-frozen-layers" for flag in unused]
    if command.device == "cpu" and command.mixed_precision == "fp16":
        problems.append("--mixed-precision fp16 needs a GPU: use bf16 or no")
    if problems:
        raise UserError(problems)
    return RunConfig(**values)


def _config_file_problems(command: PlanMemory) -> list[str]:
    file = Path(command.config_file or "")
    if command.model_id != DEFAULT_MODEL_ID:
        return ["--config-file and --model-id both name the model: give one of them"]
    if file.is_dir():
        return [f"--config-file {file} is a folder: give the config.json in it, or --model-id"]
    if not file.is_file():
        return [f"--config-file {file} does not exist"]
    try:
        content = json.loads(file.read_text("utf-8"))
    except ValueError:
        return [f"--config-file {file} is not a model's config.json: it is not valid JSON"]
    if not isinstance(content, dict) or "model_type" not in content:
        return [f"--config-file {file} is not a model's config.json: it has no model_type"]
    return []


def _target(command: PlanMemory) -> "Target":
    import torch

    from lowcost_ft.memory.operators import Target
    from lowcost_ft.training.setup import cpu_precision

    major, minor = divmod(round(command.compute_capability * 10), 10)
    precision: str = command.mixed_precision
    if command.compute_capability < 3:
        raise UserError(
            f"--compute-capability {command.compute_capability:g} is too low: give the "
            "GPU's, such as 8.6"
        )
    if command.device == "cuda" and precision == "bf16" and major < 8:
        raise UserError(
            f"--mixed-precision bf16: a GPU of compute capability {command.compute_capability:g} "
            "does not support bfloat16: use fp16"
        )
    if precision == "auto":
        precision = "bf16" if major >= 8 else "fp16"
        if command.device == "cpu":
            precision = cpu_precision()
    return Target(
        device=command.device,
        mixed_precision=precision,
        num_threads=torch.get_num_threads(),
        compute_capability=(major, minor),
    )
