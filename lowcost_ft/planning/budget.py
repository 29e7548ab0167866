"""Settings that fit a memory budget, chosen in an order that changes as little as possible."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.memory.simulate import MemoryPrediction

__all__ = ["Choice", "Plan", "cut_choice", "fit_to_budget", "largest_that_fits", "megabytes"]
__all__ += ["smallest_cut"]

_CLOSE_ENOUGH = 0.04
"""The token budget is looked for until what is left to gain is less than this share of it."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One setting that was changed to save memory.

    Attributes:
        setting: Name of the field.
        value: What it is now.
        needed_bytes: What a step needs with it and all choices before it.
        cost: What is paid for it.
    """

    setting: str
    value: Any
    needed_bytes: int
    cost: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings that fit, and how they were found.

    Attributes:
        config: The settings.
        prediction: What a step needs with them.
        unplanned: What it would need without any choice.
        choices: What was changed, in order.
        states_bytes: A copy of the frozen layers' states that stays on the GPU, counted in
            `prediction`; 0 where there is none.
    """

    config: RunConfig
    prediction: MemoryPrediction
    unplanned: MemoryPrediction
    choices: list[Choice]
    states_bytes: int = 0

    def to_dict(self, budget_bytes: int | None) -> dict[str, Any]:
        """What `run.json` and `lowcost-ft plan --json` say."""
        building = self.prediction.building
        return {
            "budget_bytes": budget_bytes,
            "needed_bytes": self.prediction.needed_bytes,
            "peak_bytes": self.prediction.peak_bytes,
            "reserved_bytes": self.prediction.reserved_bytes,
            "unplanned_peak_bytes": self.unplanned.peak_bytes,
            "parts": self.prediction.parts | {"cuda_context": self.prediction.context_bytes},
            "building": None
            if building is None
            else {
                "needed_bytes": building.needed_bytes,
                "peak_bytes": building.peak_bytes,
                "parts": building.parts | {"cuda_context": building.context_bytes},
            },
            "paged_optimizer_bytes": self.prediction.paged_bytes,
            "flops_per_step": self.prediction.flops,
            "choices": [asdict(choice) for choice in self.choices],
            "states_on_device_bytes": self.states_bytes,
        }


def fit_to_budget(
    config: RunConfig,
    budget_bytes: int | None,
    predict: Callable[[RunConfig], MemoryPrediction],
    *,
    num_layers: int,
    longest_row: int,
    can_checkpoint: bool,
    can_choose_layers: bool,
    can_cache: bool = True,
) -> Plan:
    """Changes settings, in this order and only as far as needed, until a step fits the budget.

    The token budget of a micro-batch; gradient checkpointing; caching of layers that are frozen
    anyway; and with `config.allow_model_change` 8-bit weights, NF4 weights, fewer trainable layers.
    What a step learns from never changes.

    Args:
        config: The settings that the user gave.
        budget_bytes: What a step may need; None for no limit.
        predict: What a step of some settings needs.
        num_layers: Layers of the model.
        longest_row: Tokens of the longest row: no micro-batch can hold less.
        can_checkpoint: Whether the model supports gradient checkpointing.
        can_choose_layers: Whether the model's layers can be trained in part.
        can_cache: Whether the rows are the same in each epoch, as the output of frozen layers is.

    Raises:
        UserError: Nothing allowed fits; says what would.
    """
    config = config.with_cut(config.settled_micro_batch_tokens)
    unplanned = predict(config)
    if budget_bytes is None or unplanned.needed_bytes <= budget_bytes:
        return Plan(config=config, prediction=unplanned, unplanned=unplanned, choices=[])
    steps = _free_steps(config, num_layers, can_checkpoint, can_cache)
    if config.allow_model_change:
        steps += _model_steps(config, num_layers, can_choose_layers)
    choices: list[Choice] = []
    best: tuple[int, RunConfig] | None = None
    current = config
    for changes, cost in steps:
        before = predict(current)
        wanted = replace(current, **changes)
        if not _possible(wanted, predict):
            continue
        current = wanted
        if changes:
            now = predict(current)
            price = cost.format(work=_ratio(now.flops, before.flops))
            for name, value in changes.items():
                choices.append(
                    Choice(setting=name, value=value, needed_bytes=now.needed_bytes, cost=price)
                )
            if now.needed_bytes <= budget_bytes:
                return Plan(config=current, prediction=now, unplanned=unplanned, choices=choices)
        smallest = smallest_cut(current, longest_row)
        needed = predict(smallest).needed_bytes
        if best is None or needed < best[0]:
            best = (needed, smallest)
        if needed <= budget_bytes:
            current = largest_that_fits(smallest, current, budget_bytes, predict)
            now = predict(current)
            choices.append(cut_choice(current, now))
            return Plan(config=current, prediction=now, unplanned=unplanned, choices=choices)
    assert best is not None
    raise UserError(
        _refusal(config, budget_bytes, best, predict, num_layers, longest_row, can_choose_layers)
    )


_Steps = list[tuple[dict[str, Any], str]]


def _free_steps(
    config: RunConfig, num_layers: int, can_checkpoint: bool, can_cache: bool
) -> _Steps:
    """What leaves the result as it is, up to rounding."""
    steps: _Steps = [({}, "")]
    if can_checkpoint and not config.gradient_checkpointing:
        steps.append(({"gradient_checkpointing": True}, "{work} the arithmetic of a step"))
    frozen = config.trainable_layers is not None and config.trainable_layers < num_layers
    if frozen and can_cache and not config.cache_frozen_layers:
        steps.append(({"cache_frozen_layers": True}, "disk for the states; {work} the arithmetic"))
    return steps


def _model_steps(config: RunConfig, num_layers: int, can_choose_layers: bool) -> _Steps:
    """What changes the model that is trained."""
    steps: _Steps = []
    if config.method != "full" and not config.stream_frozen_layers:
        lighter = {"none": ("8bit", "nf4"), "int8": ("nf4",), "8bit": ("nf4",)}
        for quantization in lighter.get(config.quantization, ()):
            steps.append(({"quantization": quantization}, "rounded weights, and slower steps"))
    layers = config.trainable_layers or num_layers
    while can_choose_layers and layers > 1:
        layers //= 2
        steps.append(({"trainable_layers": layers}, "fewer layers train; {work} the arithmetic"))
    return steps


def _possible(config: RunConfig, predict: Callable[[RunConfig], MemoryPrediction]) -> bool:
    """Whether there is such a run: not every adapter can be added to quantized weights."""
    try:
        predict(config)
    except UserError:
        return False
    return True


def _ratio(now: int, before: int) -> str:
    return f"{now / before:.2f} times" if before else "as much as"


def smallest_cut(config: RunConfig, longest_row: int) -> RunConfig:
    """The settings with micro-batches that are no larger than the longest row needs."""
    tokens = min(max(8, longest_row), config.settled_micro_batch_tokens)
    return replace(config, micro_batch_tokens=tokens)


def cut_choice(config: RunConfig, prediction: MemoryPrediction) -> Choice:
    """The choice of smaller micro-batches, and what a step needs with them."""
    return Choice(
        setting="micro_batch_tokens",
        value=config.micro_batch_tokens,
        needed_bytes=prediction.needed_bytes,
        cost="the same step in smaller pieces",
    )


def largest_that_fits(
    fits: RunConfig,
    too_large: RunConfig,
    budget_bytes: int,
    predict: Callable[..., MemoryPrediction],
) -> RunConfig:
    """Between two token budgets, close to the largest that fits.

    Memory is nearly linear in the tokens of a micro-batch, so a line through what is known says
    where to look next.
    """
    while True:
        low, high = fits.settled_micro_batch_tokens, too_large.settled_micro_batch_tokens
        if high - low <= max(1, _CLOSE_ENOUGH * high):
            return fits
        below, above = predict(fits).needed_bytes, predict(too_large).needed_bytes
        share = (budget_bytes - below) / max(1, above - below)
        # A little to the inside, so that both ends move.
        guess = low + round((high - low) * min(0.9, max(0.1, share * 0.98)))
        middle = replace(fits, micro_batch_tokens=min(high - 1, max(low + 1, guess)))
        if predict(middle).needed_bytes <= budget_bytes:
            fits = middle
        else:
            too_large = middle


def _refusal(
    config: RunConfig,
    budget_bytes: int,
    best: tuple[int, RunConfig],
    predict: Callable[[RunConfig], MemoryPrediction],
    num_layers: int,
    longest_row: int,
    can_choose_layers: bool,
) -> str:
    needed, smallest = best
    building = predict(smallest).building
    if building is not None and building.needed_bytes >= needed:
        what = "reading the frozen layers one at a time needs"
    else:
        what = "one step needs"
    text = (
        f"--memory-budget {config.memory_budget}: {what} at least {megabytes(needed)} "
        f"({_flags(config, smallest)}): raise the budget"
    )
    if config.allow_model_change:
        return f"{text}, shorten --max-length, or use a smaller model"
    current = smallest
    for changes, _ in _model_steps(config, num_layers, can_choose_layers):
        wanted = replace(current, **changes)
        if not _possible(wanted, predict):
            continue
        current, needed = wanted, predict(wanted).needed_bytes
        if needed <= budget_bytes:
            return (
                f"{text}, or add --allow-model-change: {megabytes(needed)} are enough with "
                f"{_flags(smallest, current)}"
            )
    return f"{text}, shorten --max-length, or use a smaller model"


def _flags(before: RunConfig, after: RunConfig) -> str:
    flags = []
    for name, value in after.to_dict().items():
        if value != getattr(before, name):
            flag = "--" + name.replace("_", "-")
            flags.append(flag if value is True else f"{flag} {value}")
    return " ".join(flags) or "with these settings"


def megabytes(num_bytes: float) -> str:
    """`0.31 MB`, `391 MB`, `12.4 GB`."""
    if num_bytes >= 1e10:
        return f"{num_bytes / 1e9:,.1f} GB"
    return f"{num_bytes / 1e6:,.{0 if num_bytes >= 1e7 else 2}f} MB"
