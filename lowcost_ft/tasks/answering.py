"""How a task turns predictions into answers, and says how sure and how wrong they are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Answering", "Predictions"]

Predictions = dict[str, np.ndarray]
"""Arrays by name, with one prediction for each example or word; never the logits of all tokens."""


class Answering(ABC):
    """The part of a task that turns predictions into answers."""

    @abstractmethod
    def present(self, examples: Sequence[Any], predictions: Predictions) -> list[dict[str, Any]]:
        """What `predictions.jsonl` holds for each example, in the order of the examples."""

    @staticmethod
    @abstractmethod
    def truth_row(example: Any) -> dict[str, Any]:
        """What `predictions.jsonl` holds besides the prediction: the true labels."""

    def answer(self, examples: Sequence[Any], predictions: Predictions) -> list[dict[str, Any]]:
        """The answer to each example as a user gets it, in the order of the examples."""
        return self.present(examples, predictions)

    def uncertainty(self, examples: Sequence[Any], predictions: Predictions) -> np.ndarray | None:
        """How unsure the model is of each example, at least 0, `(examples,)`.

        `lowcost-ft suggest` ranks by it. None if the answers have no probabilities.
        """
        return None

    def choose_decisions(self, examples: Sequence[Any], predictions: Predictions) -> None:
        """Chooses what answers depend on, such as thresholds, on labelled validation data.

        Most tasks have nothing to choose.
        """
        return

    def blank_answer(self, example: Any) -> dict[str, Any]:
        """The answer to an example that has nothing to predict, in the usual form."""
        return {}

    @abstractmethod
    def losses(self, examples: Sequence[Any], predictions: Predictions) -> np.ndarray:
        """How wrong the prediction of each labelled example is, `(examples,)`, to find the worst.

        It is NaN if the model does not know the label.
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
            predictions: The predictions that they were computed from.

        Returns:
            Warnings; and, if the model learned nothing, how that shows, else None.
        """
        return [], None
