"""The memory plan of a run: what its costliest step will need, and settings that fit a budget."""

from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import broadcast_object_list

from lowcost_ft.config.values import parse_bytes
from lowcost_ft.errors import UserError
from lowcost_ft.memory.limits import enforce_budget, measured_context_bytes
from lowcost_ft.memory.operators import Target
from lowcost_ft.models.loading import build_model
from lowcost_ft.pipeline.data import Data
from lowcost_ft.pipeline.start import Run
from lowcost_ft.planning.budget import Plan
from lowcost_ft.planning.find_plan import find_plan, plan_lines
from lowcost_ft.planning.forecast import Forecast
from lowcost_ft.planning.model_options import model_options
from lowcost_ft.planning.simulated_building import DISK_RATE, CacheNeeds
from lowcost_ft.training.extensions.registry import build_extensions
from lowcost_ft.training.sharding import is_sharded

__all__ = ["plan_memory"]


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the main process tells the others."""

    plan: Plan | None = None
    cache: CacheNeeds | None = None
    error: UserError | None = None


def plan_memory(run: Run, data: Data) -> Plan | None:
    """Predicts the peak memory of training, before any weight is read, and keeps to the budget.

    With `--memory-budget` it changes `run.config` where it must, and says so; on a GPU no more
    than the budget can be taken afterwards.

    Returns:
        The plan; None where the memory of this model's steps is not known.

    Raises:
        UserError: Nothing that is allowed fits the budget; names what would.
    """
    accelerator = run.accelerator
    device = accelerator.device
    budget = parse_bytes(run.config.memory_budget) if run.config.memory_budget else None
    if is_sharded(accelerator):
        if budget is not None:
            raise UserError(
                "--memory-budget: is not known for a model that is split over processes; leave it "
                "out, and set --micro-batch-tokens"
            )
        return None
    # The card's own part may differ between processes; the settings must not.
    shared: list[Any] = [_find(run, data, budget) if accelerator.is_main_process else None]
    broadcast_object_list(shared)
    found: _Found = shared[0]
    if found.error is not None:
        raise found.error
    plan = found.plan
    if plan is None:
        return None
    run.config = plan.config
    run.record["memory_plan"] = {
        "device": device.type,
        **plan.to_dict(budget),
        "frozen_layers": found.cache and found.cache.to_dict(DISK_RATE),
    }
    run.record["config"] |= {c.setting: c.value for c in plan.choices}
    for line in plan_lines(plan, budget, found.cache):
        run.say(line)
    if device.type == "cuda" and budget is not None:
        enforce_budget(device, budget)
    return plan


def _find(run: Run, data: Data, budget: int | None) -> _Found:
    forecast = _forecast(run, data)
    try:
        plan = find_plan(run.config, budget, forecast)
        return _Found(plan=plan, cache=forecast.cache_needs(plan.config))
    except UserError as error:
        return _Found(error=error)
    except Exception as error:
        # An architecture of someone else's may do what shapes alone cannot follow.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        unknown = f"the memory of this model's steps could not be predicted [{reason}]"
        run.say(f"note: {unknown}")
        if budget is not None:
            return _Found(error=UserError(f"--memory-budget: {unknown}; leave it out"))
        return _Found()


def _forecast(run: Run, data: Data) -> Forecast:
    device = run.accelerator.device
    on_cuda = device.type == "cuda"
    target = Target(
        device="cuda" if on_cuda else "cpu",
        mixed_precision=run.accelerator.mixed_precision,
        num_threads=torch.get_num_threads(),
        compute_capability=torch.cuda.get_device_capability(device) if on_cuda else (0, 0),
        context_bytes=measured_context_bytes(device) if on_cuda else 0,
    )
    return Forecast(
        lambda wanted: build_model(
            **model_options(
                wanted,
                data.task,
                labels=data.splits.labels,
                mixed_precision=target.mixed_precision,
                pad_token_id=data.pad_token_id,
            ),
            on_meta=True,
        ),
        data.task,
        data.features["train"],
        target=target,
        pad_token_id=data.pad_token_id,
        num_processes=run.accelerator.num_processes,
        splits=list(data.features.values()),
        extend=lambda wanted, built: build_extensions(data.context(wanted, built.model)),
    )
