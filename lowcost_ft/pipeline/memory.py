"""Plans the memory of a run: what its costliest step needs, and settings that fit a budget."""

from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import broadcast_object_list

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.settings import USUAL_MICRO_BATCH_TOKENS
from lowcost_ft.config.values import parse_bytes
from lowcost_ft.errors import UserError
from lowcost_ft.memory.limits import enforce_budget, measured_context_bytes, usable_bytes
from lowcost_ft.memory.operators import Target
from lowcost_ft.models.loading import build_model
from lowcost_ft.pipeline.data import Data
from lowcost_ft.pipeline.start import Run
from lowcost_ft.planning.budget import Plan, megabytes
from lowcost_ft.planning.find_plan import find_plan, keep_states, plan_lines
from lowcost_ft.planning.forecast import Forecast
from lowcost_ft.planning.model_options import model_options
from lowcost_ft.planning.part_to_change import part_to_change
from lowcost_ft.planning.simulated_building import DISK_RATE, CacheNeeds
from lowcost_ft.record.prediction_tokens import LEFT_OPEN
from lowcost_ft.training.extensions.registry import build_extensions
from lowcost_ft.training.recovery import agree
from lowcost_ft.training.sharding import is_sharded

__all__ = ["plan_memory"]


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The plan that the main process makes, or its error; it tells the others."""

    plan: Plan | None = None
    cache: CacheNeeds | None = None
    error: UserError | None = None


def plan_memory(run: Run, data: Data) -> Plan | None:
    """Predicts the peak memory of training before any weight is read, and obeys `--memory-budget`.

    It decides how large micro-batches are, in `run.config` and in the record. With a budget it
    changes `run.config` further if it must, and tells the user; on a GPU, no more than the budget
    can be allocated afterwards.

    Returns:
        The plan; None if the memory of this model's steps is not known, or no step is run.

    Raises:
        UserError: Nothing that is allowed fits the budget; the message names what would.
    """
    accelerator = run.accelerator
    device = accelerator.device
    left_open = run.config.leaves_cut_open
    if left_open:
        run.record[LEFT_OPEN] = ["micro_batch_tokens"]
    budget = parse_bytes(run.config.memory_budget) if run.config.memory_budget else None
    if is_sharded(accelerator):
        if budget is not None:
            raise UserError(
                "--memory-budget: is not known for a model that is split over processes; leave it "
                "out, and set --micro-batch-tokens"
            )
        _take(run, _unplanned(run))
        return None
    if run.config.max_steps == 0 and budget is None:  # There is no step to predict.
        _take(run, _unplanned(run))
        return None
    # Free memory may differ between the processes' cards; the settings must not.
    card = -agree(accelerator, -usable_bytes(device))[0] if device.type == "cuda" else None
    shared: list[Any] = [_find(run, data, budget, card) if accelerator.is_main_process else None]
    broadcast_object_list(shared)
    found: _Found = shared[0]
    if found.error is not None:
        raise found.error
    plan = found.plan
    if plan is None:
        _take(run, _unplanned(run))
        return None
    _take(run, plan.config)
    run.record["memory_plan"] = {
        "device": device.type,
        **plan.to_dict(budget),
        "frozen_layers": found.cache and found.cache.to_dict(DISK_RATE),
    }
    run.record["config"] |= {c.setting: c.value for c in plan.choices}
    for line in plan_lines(plan, budget, found.cache):
        run.say(line)
    if left_open:
        _say_tokens(run, plan, None if budget is not None else card)
    if device.type == "cuda" and budget is not None:
        enforce_budget(device, budget)
    return plan


def _take(run: Run, config: RunConfig) -> None:
    """Takes these settings for the run; the record gets a number of tokens in any case."""
    run.config = config
    run.record["config"]["micro_batch_tokens"] = config.settled_micro_batch_tokens


def _unplanned(run: Run) -> RunConfig:
    """The settings without a plan: micro-batches have the usual size if none was given."""
    begun_with = _begun_with(run)
    if begun_with is not None:
        return run.config.with_begun_cut(begun_with)
    return run.config.with_cut(USUAL_MICRO_BATCH_TOKENS)


def _begun_with(run: Run) -> int | None:
    """Tokens of a micro-batch that a resumed run began with; None for a new run."""
    return None if run.resume is None else int(run.resume.state["budget"]["asked"][0])


def _say_tokens(run: Run, plan: Plan, card_bytes: int | None) -> None:
    """Tells the user what `--micro-batch-tokens auto` became on a GPU, if it is not the usual."""
    tokens = run.config.settled_micro_batch_tokens
    on_card = card_bytes is not None
    if on_card and tokens != USUAL_MICRO_BATCH_TOKENS and not plan.choices:
        run.say(f"memory: a micro-batch holds up to {tokens:,} tokens (--micro-batch-tokens auto)")
    if card_bytes is not None and plan.prediction.needed_bytes > card_bytes:
        change = part_to_change(run.config, plan.prediction)
        run.say(
            f"note: that is more than the {megabytes(card_bytes)} that can be had of the GPU. "
            f"Should memory run out, change first: {change}"
        )


def _find(run: Run, data: Data, budget: int | None, card_bytes: int | None) -> _Found:
    forecast = _forecast(run, data)
    try:
        plan = find_plan(
            run.config, budget, forecast, card_bytes=card_bytes, begun_with=_begun_with(run)
        )
        if card_bytes is not None:
            plan = keep_states(plan, card_bytes if budget is None else budget, forecast)
        return _Found(plan=plan, cache=forecast.cache_needs(plan.config))
    except UserError as error:
        return _Found(error=error)
    except Exception as error:
        # Another's architecture may do something that cannot be followed by shapes alone.
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
        extend=lambda wanted, built: build_extensions(
            data.context(wanted, built.model, run.accelerator)
        ),
        most_frozen_tokens=USUAL_MICRO_BATCH_TOKENS if run.config.leaves_cut_open else None,
    )
