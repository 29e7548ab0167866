"""Choices that rounding decides: candidates whose scores hardly differ."""

import torch

__all__ = ["NEAR", "near_ties"]

NEAR = 1e-4
"""Logits, or log probabilities, that differ by less may change places between two computations of
one thing, such as a row alone and in a batch."""


def near_ties(chosen: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Whether a candidate that was chosen is hardly better than one that was not, `(rows,)`.

    Args:
        chosen: Score of the worst candidate that was chosen, `(rows,)`.
        other: Score of the best of the others; minus infinity where there is none.
    """
    return (chosen - other < NEAR) & torch.isfinite(other)
