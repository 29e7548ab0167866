"""How large micro-batches are where nobody says: by the memory of a GPU, by the caches of a CPU."""

from collections.abc import Callable, Iterable, Mapping

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.settings import USUAL_MICRO_BATCH_TOKENS
from lowcost_ft.memory.simulate import MemoryPrediction
from lowcost_ft.planning.budget import Plan, cut_choice, largest_that_fits, smallest_cut
from lowcost_ft.training.step_plan import PlannedStep

__all__ = ["cpu_tokens", "fit_to_card", "whole_step_tokens"]

_CPU_TOKENS = ((2**16, 2048), (0, 1024))
"""Bytes of the last cache for each unit of the model's width, from which on a CPU takes so many
tokens at once. The tensor between the two products of a feed-forward layer, four times as wide as
the model, then fits twice: what follows one product is still there for the next. Measured by
`benchmarks/cut_of_a_step.py` with 32 MiB and widths of 384 to 1,024; on other caches it is this
arithmetic alone. Smaller micro-batches spend their time on calls and on packing weights."""


def cpu_tokens(width: int, cache_bytes: Mapping[int, int]) -> int:
    """Most padded tokens in a micro-batch on a CPU: the same whenever it is asked, since no time is
    measured.

    Args:
        width: Width of the model's hidden states.
        cache_bytes: Sizes of the caches by level; empty where they are not known.
    """
    if not cache_bytes:
        return USUAL_MICRO_BATCH_TOKENS
    of_width = cache_bytes[max(cache_bytes)] / width
    return next(tokens for least, tokens in _CPU_TOKENS if of_width >= least)


def whole_step_tokens(steps: Iterable[PlannedStep], num_processes: int = 1) -> int:
    """Most padded tokens in a micro-batch that cut none of the steps.

    It is the usual number at least, which the rest of a run goes by, too.
    """
    most = USUAL_MICRO_BATCH_TOKENS
    for step in steps:
        rows = -(-len(step.rows) // num_processes)  # The first process has the longest.
        most = max(most, rows * int(step.features.widths[step.rows].max()))
    return most


def fit_to_card(
    config: RunConfig,
    card_bytes: int,
    predict: Callable[[RunConfig], MemoryPrediction],
    *,
    longest_row: int,
) -> Plan:
    """The settings with the largest micro-batches that a card holds, and otherwise as they are.

    Where not even the smallest ones fit by the prediction, these are taken: what the user did not
    ask for, such as gradient checkpointing, is not chosen without a budget.

    Args:
        config: The settings, with micro-batches as large as they need to be at most.
        card_bytes: What a step may need.
        predict: What a step of some settings needs.
        longest_row: Tokens of the longest row.
    """
    unplanned = predict(config)
    smallest = smallest_cut(config, max(longest_row, config.max_length))
    if unplanned.needed_bytes <= card_bytes or smallest == config:
        return Plan(config=config, prediction=unplanned, unplanned=unplanned, choices=[])
    cut = smallest
    if predict(smallest).needed_bytes <= card_bytes:
        cut = largest_that_fits(smallest, config, card_bytes, predict)
    prediction = predict(cut)
    choices = [cut_choice(cut, prediction)]
    return Plan(config=cut, prediction=prediction, unplanned=unplanned, choices=choices)
