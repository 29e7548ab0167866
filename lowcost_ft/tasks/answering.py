"""How a task turns predictions into answers, and says how sure and how wrong they are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Answering", "Predictions"]

Predictions = dict[str, np.ndarray]
"""Named arrays of one prediction an example (or a word), never logits of every token."""


class Answering(ABC):
    """The part of a task that turns predictions into answers."""

    @abstractmethod
    def present(self, examples: Sequence[Any], predictions: Predictions) -> list[dict[str, Any]]:
        """What `predictions.jsonl` says of each example, in the order of the examples."""

    @staticmethod
    @abstractmethod
    def truth_row(example: Any) -> dict[str, Any]:
        """What `predictions.jsonl` says beside the prediction: what was right."""

    def answer(self, examples: Sequence[Any], predictions: Predictions) -> list[dict[str, Any]]:
        """What a user is told of each example, in the order of the examples."""
        return self.present(examples, predictions)

    def uncertainty(self, examples: Sequence[Any], predictions: Predictions) -> np.ndarray | None:
        """How unsure the model is of each example, at least 0, `(examples,)`.

        What `lowcost-ft suggest` ranks by; None where the answers have no probabilities.
        """
        return None

    def choose_decisions(self, examples: Sequence[Any], predictions: Predictions) -> None:
        """Chooses by labelled validation data what answers depend on, such as thresholds.

        Most tasks have nothing to choose.
        """
        return

    def blank_answer(self, example: Any) -> dict[str, Any]:
        """The answer to an example that has nothing to predict, in the usual form."""
        return {}

    @abstractmethod
    def losses(self, examples: Sequence[Any], predictions: Predictions) -> np.ndarray:
        """How wrong the prediction of each labelled example is, to find the worst of them.

        NaN where the model does not know the label.
        """

    def doubts(
        self,
        split: str,
        examples: Sequence[Any],
        scores: Mapping[str, Any],
        predictions: Predictions,
    ) -> tuple[list[str], str | None]:
        """Whether the model learned anything.

        Args:
            split: Name of the scored split.
            examples: Its examples.
            scores: Its scores.
            predictions: The predictions they were computed from.

        Returns:
            Warnings by themselves; and, for a model that learned nothing, in which respect.
        """
        return [], None
