"""The answers of a distillation's teachers to the training data, kept on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowcost_ft.data.features import Features
    from lowcost_ft.frozen.stored_states import StoredStates

__all__ = ["Teaching"]


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """The answers of one teacher, or the mean of several.

    Attributes:
        examples: The training examples; those without labels come last.
        features: Their tokens. The weight of a row counts its choices without a label, too.
        logits: The logits of each choice (`Task.choice_numbers`), `(choices, classes)`,
            memory-mapped; NaN where no teacher makes the choice.
        states: The last hidden state of every token of `features`; None if they are not wanted or
            cannot be compared with the student's.
        digest: SHA-256 of logits and states.
        num_teachers: Number of teachers.
        num_unlabelled: How many of the examples have no label.
    """

    examples: Sequence[Any]
    features: "Features"
    logits: "StoredStates"
    states: "StoredStates | None"
    digest: str
    num_teachers: int
    num_unlabelled: int
