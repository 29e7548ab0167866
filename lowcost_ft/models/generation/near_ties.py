"""Choices that rounding decides: candidates whose scores hardly differ."""

import torch

__all__ = ["NEAR", "near_ties"]

NEAR = 1e-4
"""Logits, or log probabilities, that differ by less may change places between two computations of
one thing, such as a row alone and in a batch."""


def near_ties(best: torch.Tensor, last: torch.Tensor | int) -> list[bool]:
    """Whether any candidate that was chosen is nearly as good as the next one.

    Args:
        best: Scores of the best candidates, the best one first, `(rows, candidates)`.
        last: The place of the last chosen one, for all rows or for each, `(rows, 1)`; one more
            candidate must be there.
    """
    gaps = best[:, :-1] - best[:, 1:]
    places = torch.arange(gaps.shape[1], device=best.device)
    # Candidates that are ruled out have no score.
    near = (gaps < NEAR) & torch.isfinite(best[:, 1:]) & (places <= last)
    found: list[bool] = near.any(1).tolist()
    return found
