"""What is compared of relations: between texts, changes of texts, and groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.scores.relations import relation_sums
from lowcost_ft.tasks.classification.measuring import ClassificationMeasuring
from lowcost_ft.tasks.relation.negatives import NO_RELATION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["RelationMeasuring"]


class RelationMeasuring(ClassificationMeasuring):
    """The part of the task that compares; verdicts and outcomes are those of a classifier."""

    attack_flags: ClassVar[type | None] = None
    audit_flags: ClassVar[type | None] = None
    audit_sentences: ClassVar[bool] = False  # It would have entities that nothing is said of.
    negative: str | None
    metric: str

    def score_sums(
        self, examples: Sequence[Any], predictions: Any
    ) -> tuple[Callable[[Floats], Floats], Floats]:
        """Micro or macro F1 without the negative label; see `Measuring.score_sums`."""
        return relation_sums(
            self._labels(examples, predictions),
            [str(example.label) for example in examples],
            negative=self.negative or NO_RELATION,
            macro=self.metric == "macro_f1",
        )
