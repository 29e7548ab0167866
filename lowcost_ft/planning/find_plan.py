"""Settings that fit a memory budget for known data, and what a run says of them."""

from lowcost_ft.config.run import RunConfig
from lowcost_ft.models.loading import forward_module
from lowcost_ft.planning.budget import Plan, fit_to_budget, megabytes
from lowcost_ft.planning.forecast import Forecast
from lowcost_ft.planning.simulated_building import DISK_RATE, CacheNeeds

__all__ = ["find_plan", "plan_lines"]


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
        can_cache=not forecast.extensions(config).changes_inputs
        and (family is None or family.encoder_layers is None),
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
            "memory: before training, running the frozen layers one at a time will need "
            f"{megabytes(prediction.building.needed_bytes)}",
            f"        {megabytes(cache.weight_file_bytes)} of weights and "
            f"{megabytes(cache.state_bytes)} of states to move: "
            f"{cache.disk_seconds(DISK_RATE):,.0f} s at {megabytes(DISK_RATE)} a second",
        ]
    return lines
