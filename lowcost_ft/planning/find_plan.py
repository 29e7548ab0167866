"""Settings that fit a memory budget for known data, and what a run says of them."""

from dataclasses import replace

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.settings import USUAL_MICRO_BATCH_TOKENS
from lowcost_ft.memory.cuda_allocator import segment_bytes
from lowcost_ft.models.loading import forward_module
from lowcost_ft.planning.budget import Plan, fit_to_budget, megabytes
from lowcost_ft.planning.forecast import Forecast
from lowcost_ft.planning.micro_batches import cpu_tokens, fit_to_card
from lowcost_ft.planning.simulated_building import DISK_RATE, CacheNeeds
from lowcost_ft.record.environment import cache_sizes

__all__ = ["find_plan", "keep_states", "plan_lines"]


def find_plan(
    config: RunConfig,
    budget: int | None,
    forecast: Forecast,
    *,
    card_bytes: int | None = None,
    begun_with: int | None = None,
) -> Plan:
    """Settings that fit the budget, for the data and hardware of `forecast`.

    Args:
        config: The settings. Where they leave the size of micro-batches open, it is settled.
        budget: Bytes that a step may need; None: any number.
        forecast: Predicts what a step needs.
        card_bytes: What a program can have of the GPU; None where there is none, or none is known.
        begun_with: Tokens of a micro-batch that a run began with which goes on now. They are kept
            where there is no budget, even if they do not seem to fit.

    Raises:
        UserError: Nothing that is allowed fits the budget.
    """
    built = forecast.model(config)
    family = built.family
    longest_row = int(forecast.features.lengths.max())
    if config.leaves_cut_open:
        if begun_with is not None:
            config = config.with_begun_cut(begun_with)
        else:
            config = config.with_cut(_most_useful_tokens(config, forecast))
        if budget is None and card_bytes is not None and begun_with is None:
            return fit_to_card(config, card_bytes, forecast, longest_row=longest_row)
    return fit_to_budget(
        config,
        budget,
        forecast,
        num_layers=built.num_layers,
        longest_row=longest_row,
        can_checkpoint=bool(forward_module(built.model).supports_gradient_checkpointing),
        can_choose_layers=family is not None and not family.shared_layers,
        can_cache=not forecast.extensions(config).changes_inputs,
    )


def keep_states(plan: Plan, limit: int, forecast: Forecast) -> Plan:
    """The same plan with the cached states on the GPU, if they fit there beside a step.

    Args:
        plan: Settings that fit.
        limit: What the program can have of the GPU.
        forecast: Knows the data.
    """
    size, needed = forecast.states_bytes(plan.config), plan.prediction
    taken = segment_bytes(size)
    if not size or needed.reserved_bytes + needed.context_bytes + taken > limit:
        return plan
    prediction = replace(
        needed,
        peak_bytes=needed.peak_bytes + size,
        reserved_bytes=needed.reserved_bytes + taken,
        parts=needed.parts | {"states": size},
    )
    return replace(plan, prediction=prediction, states_bytes=size)


def _most_useful_tokens(config: RunConfig, forecast: Forecast) -> int:
    """Tokens of a micro-batch beyond which a step gets no faster."""
    if forecast.target.device == "cuda":
        return forecast.whole_step_tokens(config)
    described = forward_module(forecast.model(config).model).config.get_text_config()
    width = getattr(described, "hidden_size", None)
    return USUAL_MICRO_BATCH_TOKENS if width is None else cpu_tokens(width, cache_sizes())


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
            "memory: before training, running the frozen layers one at a time will need "
            f"{megabytes(prediction.building.needed_bytes)}",
            f"        {megabytes(cache.weight_file_bytes)} of weights and "
            f"{megabytes(cache.state_bytes)} of states to move: "
            f"{cache.disk_seconds(DISK_RATE):,.0f} s at {megabytes(DISK_RATE)} a second",
        ]
    return lines
