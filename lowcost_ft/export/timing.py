"""How fast models answer on this machine's CPU: in turns, so that other load meets them alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Speed", "time_in_turns"]

_ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a model answers."""

    texts_per_second: float
    """In micro-batches of many texts, from tokens to predictions."""
    milliseconds: float
    """One text by itself, from tokens to logits; the median text."""


def time_in_turns(
    models: Mapping[str, tuple[Callable[[], object], Sequence[Callable[[], object]]]],
    *,
    texts: int,
) -> dict[str, Speed]:
    """Times several models on the same texts.

    Each round runs all of the models, the next round in reversed order; of the rounds the median
    counts. One round beforehand is not counted.

    Args:
        models: By name: what predicts all texts at once, and what runs each text by itself.
        texts: How many there are.
    """
    together: dict[str, list[float]] = {name: [] for name in models}
    alone: dict[str, list[float]] = {name: [] for name in models}
    for number in range(_ROUNDS + 1):
        for name in list(models)[:: 1 if number % 2 else -1]:
            all_at_once, singly = models[name]
            seconds = _seconds(all_at_once)
            each = [_seconds(one) for one in singly]
            if number:
                together[name].append(seconds)
                alone[name] += each
    return {
        name: Speed(
            texts_per_second=texts / max(median(together[name]), 1e-9),
            milliseconds=1000 * median(alone[name]),
        )
        for name in models
    }


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
