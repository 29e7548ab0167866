"""How sure a model for named-entity recognition is of each entity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from lowcost_ft.scores.calibration import Graded
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.confidence import split_list
from lowcost_ft.tasks.ner.example import NerExample
from lowcost_ft.tasks.ner.tagging import tags_to_spans

__all__ = ["NerConfidence"]


class NerConfidence(Task):
    """The part of the task that says how far scores can be trusted."""

    answers_counted: ClassVar[str] = "entities, right where type and borders match exactly"

    @property
    def why_no_confidence(self) -> str | None:
        """Each entity has a score."""
        return None

    def scored_spans(
        self, examples: Sequence[NerExample], predictions: Predictions
    ) -> Iterator[list[tuple[int, int, str, float]]]:
        """Of each example, its entities: first word, word after the last, type, raw score."""
        raise NotImplementedError

    def graded(self, examples: Sequence[NerExample], predictions: Predictions) -> Graded:
        """The entities that were found; those that were missed have no score."""
        scores, right, owners = [], [], []
        found = self.scored_spans(examples, predictions)
        for number, (example, spans) in enumerate(zip(examples, found, strict=True)):
            true = set(tags_to_spans(list(example.tags or ())))
            for start, end, label, score in spans:
                scores.append(score)
                right.append((start, end, label) in true)
                owners.append(number)
        return Graded(
            scores=np.array(scores, np.float64),
            right=np.array(right, bool),
            owners=np.array(owners, np.int64),
            given=np.ones(len(scores), bool),
        )

    def tally(self, examples: Sequence[NerExample], predictions: Predictions) -> np.ndarray:
        """Right, found and true entities of each sentence."""
        rows = []
        found = self.scored_spans(examples, predictions)
        for example, spans in zip(examples, found, strict=True):
            true = set(tags_to_spans(list(example.tags or ())))
            right = sum((start, end, label) in true for start, end, label, _ in spans)
            rows.append((right, len(spans), len(true)))
        return np.array(rows, np.float64).reshape(-1, 3)

    def told_score(self, score: float) -> float:
        """An entity's score as a user sees it."""
        if self.score_map is not None:
            score = float(self.score_map.of_scores(np.array([score]))[0])
        return round(score, 4)

    def withhold(self, answer: dict[str, Any], min_score: float) -> tuple[dict[str, Any], int, int]:
        """Entities whose score is lower; see `Confidence.withhold`."""
        return split_list(answer, "entities", min_score)

    @staticmethod
    def out_of_scope_texts() -> tuple[str, ...]:
        """Messages that are not for the sample's shop."""
        from lowcost_ft.data.sample_text.out_of_scope import OUT_OF_SCOPE

        return OUT_OF_SCOPE
