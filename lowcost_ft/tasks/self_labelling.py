"""How a task takes a model's answers as labels."""

from collections.abc import Sequence
from typing import Any

__all__ = ["SelfLabelling"]


class SelfLabelling:
    """The part of a task that `--unlabelled-file` uses if no teacher is given."""

    @property
    def can_label(self) -> bool:
        """Whether an answer can be the label of its example; `Task.uncertainty` ranks them."""
        return False

    def with_answers(self, examples: Sequence[Any], predictions: Any) -> list[Any]:
        """Makes examples with the model's answers as their labels.

        Args:
            examples: Examples without labels.
            predictions: The task's arrays.
        """
        raise NotImplementedError
