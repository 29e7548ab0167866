"""The memory plan of a run: what its costliest step will need, and settings that fit a budget."""

from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedTokenizerBase

from lowcost_ft.config import RunConfig, parse_bytes, split_list
from lowcost_ft.data.features import Features
from lowcost_ft.data.loading import Splits
from lowcost_ft.errors import UserError
from lowcost_ft.memory.limits import enforce_budget, measured_context_bytes
from lowcost_ft.memory.operators import Target
from lowcost_ft.memory.plan import Plan, fit_to_budget, megabytes
from lowcost_ft.models.loading import build_model, forward_module
from lowcost_ft.models.quantization import compute_dtype
from lowcost_ft.start import Run
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.registry import build_extensions
from lowcost_ft.training.forecast import Forecast
from lowcost_ft.training.sharding import is_sharded
from lowcost_ft.training.simulated_building import DISK_RATE, CacheNeeds

__all__ = ["find_plan", "model_options", "plan_lines", "plan_memory"]


def model_options(
    config: RunConfig,
    task: Task,
    *,
    labels: list[str],
    mixed_precision: str,
    pad_token_id: int | None,
) -> dict[str, Any]:
    """What `build_model` takes, for the settings of a run."""
    return {
        "model_id": config.model_id,
        "head": task.head,
        "labels": labels,
        "problem_type": task.problem_type,
        "method": config.method,
        "quantization": config.quantization,
        "dtype": compute_dtype(mixed_precision),
        "lora_r": config.lora_r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "dropout": config.model_dropout,
        "target_modules": split_list(config.target_modules),
        "num_virtual_tokens": config.num_virtual_tokens,
        "adapter_config": config.adapter_config,
        "trainable_layers": config.trainable_layers,
        "gradient_checkpointing": config.gradient_checkpointing,
        "attn_implementation": config.attn_implementation,
        "pad_token_id": pad_token_id,
        "seed": config.seed,
        "revision": config.revision,
        "trust_remote_code": config.trust_remote_code,
        "stream_frozen_layers": config.stream_frozen_layers,
    }


def plan_memory(
    run: Run,
    splits: Splits,
    task: Task,
    features: dict[str, Features],
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Predicts the peak memory of training, before any weight is read, and keeps to the budget.

    With `--memory-budget` it changes `run.config` where it must, and says so; on a GPU no more
    than the budget can be taken afterwards.

    Raises:
        UserError: Nothing that is allowed fits the budget; names what would.
    """
    config, accelerator = run.config, run.accelerator
    device = accelerator.device
    budget = parse_bytes(config.memory_budget) if config.memory_budget else None
    if is_sharded(accelerator):
        if budget is not None:
            raise UserError(
                "--memory-budget: is not known for a model that is split over processes; leave it "
                "out, and set --micro-batch-tokens"
            )
        return
    on_cuda = device.type == "cuda"
    found: list[Any] = [None, None]
    if accelerator.is_main_process:
        target = Target(
            device="cuda" if on_cuda else "cpu",
            mixed_precision=accelerator.mixed_precision,
            num_threads=torch.get_num_threads(),
            compute_capability=torch.cuda.get_device_capability(device) if on_cuda else (0, 0),
            context_bytes=measured_context_bytes(device) if on_cuda else 0,
        )
        forecast = Forecast(
            lambda wanted: build_model(
                **model_options(
                    wanted,
                    task,
                    labels=splits.labels,
                    mixed_precision=target.mixed_precision,
                    pad_token_id=tokenizer.pad_token_id,
                ),
                on_meta=True,
            ),
            task,
            features["train"],
            target=target,
            pad_token_id=tokenizer.pad_token_id,
            num_processes=accelerator.num_processes,
            splits=list(features.values()),
            extend=lambda wanted, built: build_extensions(
                TrainingContext(
                    settings=wanted,
                    model=built.model,
                    task=task,
                    features=features["train"],
                    pad_token_id=tokenizer.pad_token_id,
                    examples=splits.train,
                    tokenizer=tokenizer,
                )
            ),
        )
        try:
            plan = find_plan(config, budget, forecast)
            found = [plan, forecast.cache_needs(plan.config)]
        except UserError as error:
            found[0] = error
        except Exception as error:
            # An architecture of someone else's may do what shapes alone cannot follow.
            if budget is not None:
                found[0] = UserError(f"--memory-budget: {_unknown(error)}; leave it out")
            run.say(f"note: {_unknown(error)}")
    # The card's own part may differ between processes; the settings must not.
    broadcast_object_list(found)
    plan, cache = found
    if isinstance(plan, UserError):
        raise plan
    if plan is None:
        return
    run.config = plan.config
    run.record["memory_plan"] = {
        "device": device.type,
        **plan.to_dict(budget),
        "frozen_layers": cache and cache.to_dict(DISK_RATE),
    }
    run.record["config"] |= {c.setting: c.value for c in plan.choices}
    for line in plan_lines(plan, budget, cache):
        run.say(line)
    if on_cuda and budget is not None:
        enforce_budget(device, budget)


def find_plan(config: RunConfig, budget: int | None, forecast: Forecast) -> Plan:
    """Settings that fit the budget, for the data and hardware of `forecast`."""
    built = forecast.model(config)
    family = built.family
    return fit_to_budget(
        config,
        budget,
        forecast,
        num_layers=built.num_layers,
        longest_row=int(forecast.features.lengths.max()),
        can_checkpoint=bool(forward_module(built.model).supports_gradient_checkpointing),
        can_choose_layers=family is not None and not family.shared_layers,
    )


def plan_lines(plan: Plan, budget: int | None, cache: CacheNeeds | None = None) -> list[str]:
    """What a run says of its plan."""
    prediction = plan.prediction
    parts = ", ".join(f"{part} {size / 1e6:,.0f}" for part, size in prediction.parts.items())
    lines = []
    before = plan.unplanned.needed_bytes
    for choice in plan.choices:
        value = "" if choice.value is True else f" {choice.value}"
        lines.append(
            f"memory: --{choice.setting.replace('_', '-')}{value}: {megabytes(before)} -> "
            f"{megabytes(choice.needed_bytes)} ({choice.cost})"
        )
        before = choice.needed_bytes
    limit = "" if budget is None else f" of a budget of {megabytes(budget)}"
    needed = prediction.reserved_bytes + prediction.context_bytes
    lines.append(f"memory: a step will need {megabytes(needed)}{limit}")
    lines.append(f"        in MB: {parts}")
    if prediction.building is not None and cache is not None:
        lines += [
            "memory: before, the frozen layers, one at a time, will need "
            f"{megabytes(prediction.building.needed_bytes)}",
            f"        {megabytes(cache.weight_file_bytes)} of weights and "
            f"{megabytes(cache.state_bytes)} of states to move: "
            f"{cache.disk_seconds(DISK_RATE):,.0f} s at {megabytes(DISK_RATE)} a second",
        ]
    return lines


def _unknown(error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"the memory of this model's steps could not be predicted [{reason}]"
