"""What a model says of one input, before a route gives it a form."""

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Answered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a model says of one input.

    Attributes:
        answer: See `Task.answer`.
        scores: The score of each class, `(labels,)`, of a task that gives them.
        logits: The logits that the scores were made of, in the same shape.
        tokens: Tokens that the model read.
        truncated: Whether the input was too long, and lost its end.
    """

    answer: dict[str, Any]
    scores: np.ndarray | None = None
    logits: np.ndarray | None = None
    tokens: int = 0
    truncated: bool = False
