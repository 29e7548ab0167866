"""What a model answers to texts and to their versions, each of which is predicted once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowcost_ft.attack.measured import predictions_of
from lowcost_ft.audit.versions import TextVersions

__all__ = ["Answers", "Floats", "answers_to", "places_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Answers to texts and their versions; a row is one text that was predicted.

    Attributes:
        rows: For each text, the rows of its versions.
        own: For each text, the row of the text itself.
        units: For each text, the number of the unit that it belongs to, `(texts,)`: texts of one
            unit, such as questions about one passage, are not independent.
        verdicts: The decision of each row; empty where answers are numbers.
        names: Names of the values.
        values: What is compared between groups, such as probabilities, `(rows, values)`.
        of_sums: Computes the task's metric from sums of `numbers`.
        numbers: What the metric sums over rows, `(rows, numbers)`.
        answers: Each row's answer as a user reads it.
    """

    rows: list[list[int]]
    own: list[int]
    units: NDArray[np.int64]
    verdicts: list[Any]
    names: list[str]
    values: Floats
    of_sums: Callable[[Floats], Floats]
    numbers: Floats
    answers: list[dict[str, Any]]

    def by_unit(self, numbers: Floats, texts: Sequence[int] | None = None) -> Floats:
        """Sums numbers of texts over each unit, `(units, numbers)`.

        Args:
            numbers: `(texts, numbers)`.
            texts: Which texts they are of; None: all.
        """
        units = self.units if texts is None else self.units[list(texts)]
        _, places = np.unique(units, return_inverse=True)
        sums = np.zeros((int(places.max()) + 1, numbers.shape[1]))
        np.add.at(sums, places, numbers)
        return sums

    def mean_by_unit(self, numbers: Floats) -> Floats:
        """Averages numbers of texts, `(texts, numbers)`, over each unit, `(units, numbers)`."""
        ones = self.by_unit(np.ones((len(numbers), 1)))
        return self.by_unit(numbers) / ones


def answers_to(predictor: Any, texts: Sequence[TextVersions]) -> tuple[str, Answers]:
    """Predicts texts and versions, each only once.

    Args:
        predictor: The run, loaded.
        texts: Texts with their versions.

    Returns:
        The unit of the values, and the answers.
    """
    task = predictor.task
    examples: list[Any] = []
    number_of: dict[int, int] = {}

    def row(example: Any) -> int:
        if id(example) not in number_of:
            number_of[id(example)] = len(examples)
            examples.append(example)
        return number_of[id(example)]

    own = [row(text.example) for text in texts]
    rows = [[row(version.example) for version in text.versions] for text in texts]
    predictions = predictions_of(predictor, examples)
    unit, names, values = task.audited_values(examples, predictions)
    of_sums, numbers = task.score_sums(examples, predictions)
    groups: dict[Any, int] = {}
    units = [groups.setdefault(text.unit, len(groups)) for text in texts]
    return unit, Answers(
        rows=rows,
        own=own,
        units=np.array(units),
        verdicts=task.verdicts(examples, predictions),
        names=names,
        values=values,
        of_sums=of_sums,
        numbers=numbers,
        answers=task.answer(examples, predictions),
    )


def places_of(text: TextVersions, group: str) -> list[int]:
    """Which versions of a text are about a group."""
    return [place for place, version in enumerate(text.versions) if version.group == group]
