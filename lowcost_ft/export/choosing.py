"""Which layers stay in float32, so that few predictions change: chosen by measuring."""

from collections.abc import Callable, Collection, Sequence

from lowcost_ft.export.smaller import Layer

__all__ = ["choose_float_layers"]


def choose_float_layers(
    layers: Sequence[Layer],
    *,
    holds: Callable[[Collection[Layer]], bool],
    error_of: Callable[[Layer], float],
) -> list[Layer]:
    """Finds few layers which, left in float32, keep the answers within their limits.

    Every layer is tried in 8 bits by itself, and the layers are ordered by what that does to the
    logits. The number of the worst that are left out is doubled until the limits hold, and then
    narrowed down by halves; each number that is tried is measured.

    Args:
        layers: All layers that could be held in 8 bits.
        holds: Measures whether the limits hold with these layers in 8 bits.
        error_of: Measures how far the logits move when one layer is in 8 bits.

    Returns:
        The layers to leave in float32, the costliest first; all of them where nothing else helps.
    """
    if holds(layers):
        return []
    ordered = sorted(layers, key=error_of, reverse=True)
    known = {len(layers): True}

    def enough(count: int) -> bool:
        if count not in known:
            left = set(ordered[:count])
            known[count] = holds([layer for layer in layers if layer not in left])
        return known[count]

    low, high = 0, 1
    while not enough(high):
        low, high = high, min(2 * high, len(layers))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return ordered[:high]
