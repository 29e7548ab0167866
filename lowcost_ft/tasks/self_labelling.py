"""What a task tells those who take a model's answers as labels."""

from collections.abc import Sequence
from typing import Any

__all__ = ["SelfLabelling"]


class SelfLabelling:
    """The part of a task that `--unlabelled-file` asks where no teacher is given."""

    @property
    def can_label(self) -> bool:
        """Whether an answer can be the label of its example; `Task.uncertainty` ranks them."""
        return False

    def with_answers(self, examples: Sequence[Any], predictions: Any) -> list[Any]:
        """The examples, each with the model's answer as its label.

        Args:
            examples: Examples without labels.
            predictions: The task's arrays.
        """
        raise NotImplementedError
