"""Entities that a model finds, as the labels of a sentence."""

from collections.abc import Sequence
from dataclasses import replace

from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.ner.example import NerExample

__all__ = ["NerSelfLabelling"]


class NerSelfLabelling(Task):
    """The part of the task that takes answers as labels."""

    def tags(self, examples: Sequence[NerExample], predictions: Predictions) -> list[list[str]]:
        """Predicted tags of each example, one a word, legal IOB2."""
        raise NotImplementedError

    @property
    def can_label(self) -> bool:
        """Always."""
        return True

    def with_answers(
        self, examples: Sequence[NerExample], predictions: Predictions
    ) -> list[NerExample]:
        """The sentences with the predicted tags."""
        return [
            replace(example, tags=tuple(tags))
            for example, tags in zip(examples, self.tags(examples, predictions), strict=True)
        ]
