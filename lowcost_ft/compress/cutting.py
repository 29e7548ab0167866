"""Dropping layers and neurons: how many the user or a target asks for, and which."""

from collections.abc import Callable
from typing import Any

import torch

from lowcost_ft.compress.heads import check_heads, cut_heads
from lowcost_ft.compress.layers import (
    check_prunable,
    choose_layers,
    cut_neurons,
    keep_layers,
    neuron_importance,
    neurons_left,
)
from lowcost_ft.compress.targets import (
    PERCENTILE,
    Latency,
    choose_cuts,
    median_tokens,
    parse_seconds,
)
from lowcost_ft.config.values import parse_bytes
from lowcost_ft.errors import UserError
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.family import Family
from lowcost_ft.pipeline.comparing import Comparison

__all__ = ["check_cuts", "chosen_cuts", "cut_model", "cut_some_heads", "parse_targets"]


def check_cuts(
    model: Any,
    layers: int | None,
    ffn: float | None,
    heads: float | None,
    *,
    targets: tuple[int | None, float | None] | None,
) -> Family | None:
    """The family whose layers, neurons or heads are cut; None where none are."""
    size, latency = targets or (None, None)
    given = {"--layers": layers, "--ffn": ffn, "--heads": heads}
    given |= {"--target-size": size, "--target-latency": latency}
    flags = [flag for flag, value in given.items() if value is not None]
    if not flags:
        return None
    family = check_prunable(model, flags[0])
    count = len(layer_list(model, family))
    if layers is not None and not 1 <= layers < count:
        raise UserError(
            f"--layers {layers}: the model has {count}; give a number from 1 to {count - 1}"
        )
    if ffn is not None:
        neurons_left(model, family, ffn)
    if heads is not None:
        check_heads(model, family, heads)
    return family


def parse_targets(size: str | None, latency: str | None) -> tuple[int | None, float | None] | None:
    """Bytes and seconds that the user names; None where neither is.

    Raises:
        UserError: They are not a size and a time.
    """
    if size is None and latency is None:
        return None
    found: list[Any] = []
    problems = list[str]()
    for flag, text, parse in (
        ("--target-size", size, parse_bytes),
        ("--target-latency", latency, parse_seconds),
    ):
        try:
            found.append(None if text is None else parse(text))
        except ValueError as error:
            problems.append(f"{flag}: {error}")
    if problems:
        raise UserError(problems)
    return found[0], found[1]


def chosen_cuts(
    at: Comparison,
    model: Any,
    family: Family,
    layers: int | None,
    ffn: float | None,
    targets: tuple[int | None, float | None],
    say: Callable[[str], None],
) -> tuple[int | None, float | None, Latency | None]:
    """Layers and share of neurons that reach the targets, and the latency that was measured.

    None for what stays whole, and for a latency that nobody asked for.
    """
    choice = choose_cuts(
        at,
        model,
        family,
        layers=layers,
        ffn=ffn,
        target_bytes=targets[0],
        target_seconds=targets[1],
    )
    count = len(layer_list(model, family))
    neurons = "all neurons" if choice.ffn == 1 else f"{choice.ffn:.0%} of the neurons"
    told = f"{choice.layers} of {count} layers, {neurons}: {choice.bytes / 1e6:.1f} MB"
    latency = None
    if choice.seconds is not None:
        latency = Latency(
            seconds=choice.seconds,
            percentile=PERCENTILE,
            tokens=median_tokens(at),
            threads=torch.get_num_threads(),
        )
        told += (
            f", {1000 * choice.seconds:.1f} ms for one text of {latency.tokens} tokens (95th "
            f"percentile, {latency.threads} thread{'s' * (latency.threads != 1)})"
        )
    say(told)
    return (
        choice.layers if choice.layers < count else None,
        choice.ffn if choice.ffn < 1 else None,
        latency,
    )


def cut_model(
    at: Comparison,
    model: Any,
    family: Family,
    layers: int | None,
    ffn: float | None,
    say: Callable[[str], None],
) -> tuple[list[int] | None, int | None]:
    """Drops layers and neurons, in place; says which stay."""
    kept = neurons = None
    if layers is not None:
        kept = choose_layers(model, family, layers, lambda: at.outputs(model))
        keep_layers(model, family, kept)
        say(f"layers that stay: {', '.join(map(str, kept))}")
    if ffn is not None:
        importance = neuron_importance(model, family, lambda: at.outputs(model))
        neurons = cut_neurons(model, family, ffn, importance)
        say(f"neurons of each feed-forward that stay: {neurons:,} of {len(importance[0]):,}")
    return kept, neurons


def cut_some_heads(
    at: Comparison, model: Any, family: Family, share: float, say: Callable[[str], None]
) -> int:
    """Cuts attention heads, in place; says how many stay."""
    before = model.config.num_attention_heads
    heads = cut_heads(model, family, check_heads(model, family, share), lambda: at.outputs(model))
    say(f"attention heads of each layer that stay: {heads} of {before}")
    return heads
