"""What is compared of a tagger's answers: between texts, changes of texts, and groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.data.text_edits import joined
from lowcost_ft.scores.sums import entity_counts, f1_of
from lowcost_ft.tasks.measuring import Measuring, mistakes_first
from lowcost_ft.tasks.ner.example import NerExample
from lowcost_ft.tasks.ner.tagging import tags_to_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["NerMeasuring"]


class NerMeasuring(Measuring):
    """The part of the task that compares."""

    can_measure: ClassVar[bool] = True
    can_audit: ClassVar[bool] = True
    labels: list[str]

    def score_sums(
        self, examples: Sequence[NerExample], predictions: Any
    ) -> tuple[Callable[[Floats], Floats], Floats]:
        """Entity F1; see `Measuring.score_sums`."""
        task: Any = self
        truths = [list(example.tags or ()) for example in examples]
        return f1_of, entity_counts(task.tags(examples, predictions), truths)

    def harm_values(self, examples: Sequence[NerExample], predictions: Any) -> Floats:
        """Entities that are missed or wrong, then the loss; see `Measuring.harm_values`."""
        _, counts = self.score_sums(examples, predictions)
        return mistakes_first(counts, super().harm_values(examples, predictions))

    def verdicts(self, examples: Sequence[NerExample], predictions: Any) -> list[Hashable]:
        """Which of the true entities are found, in their order, and how many others by type.

        Places are not compared: a change of the text may have moved them.
        """
        return [
            (
                tuple(span in predicted for span in sorted(true)),
                tuple(sorted(Counter(span[2] for span in predicted - true).items())),
            )
            for true, predicted in self._spans(examples, predictions)
        ]

    def audited_values(
        self, examples: Sequence[NerExample], predictions: Any
    ) -> tuple[str, list[str], Floats]:
        """How many entities of each type are found; see `Measuring.audited_values`.

        Those that are right and those that are not count apart.
        """
        types = sorted({label[2:] for label in self.labels if label != "O"})
        values = np.zeros((len(examples), 2, len(types)))
        for row, (true, predicted) in enumerate(self._spans(examples, predictions)):
            for span in predicted:
                values[row, int(span not in true), types.index(span[2])] += 1
        names = [f"{one} found {how}" for how in ("rightly", "wrongly") for one in types]
        return "entities a text", names, values.reshape(len(examples), -1)

    def together(self, examples: Sequence[NerExample]) -> NerExample | None:
        """The sentences one after another, with the entities of all."""
        task: Any = self
        pieces = [task.spanned_texts(example) for example in examples]
        if not all(pieces):
            return None
        whole = joined([piece for (piece,) in pieces], " ")
        first = examples[0]
        if len({example.offsets is None for example in examples}) > 1:
            return None
        changed: NerExample | None = task.with_texts(replace(first, row_id=None), [whole])
        return changed

    def _spans(
        self, examples: Sequence[NerExample], predictions: Any
    ) -> list[tuple[set[tuple[int, int, str]], set[tuple[int, int, str]]]]:
        task: Any = self
        tags = task.tags(examples, predictions)
        return [
            (set(tags_to_spans(example.tags or ())), set(tags_to_spans(found)))
            for example, found in zip(examples, tags, strict=True)
        ]
