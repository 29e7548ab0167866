"""How sure a model for text classification is, and of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lowcost_ft.scores.calibration import Graded
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.classification.featurizing import label_array

__all__ = ["ClassificationConfidence"]


class ClassificationConfidence(Task):
    """The part of the task that says how far scores can be trusted."""

    _label_ids: Mapping[str, int]

    @property
    def why_no_confidence(self) -> str | None:
        """Numbers have no probability."""
        if self.problem_type == "regression":
            return "a number is not right or wrong, so it has no probability of being right"
        return None

    def graded(self, examples: Sequence[Any], predictions: Predictions) -> Graded | None:
        """The label of each text; of several labels, the yes or no of each."""
        if self.why_no_confidence is not None:
            return None
        scores, truth = (
            predictions["scores"],
            label_array(examples, self._label_ids, self.problem_type),
        )
        assert truth is not None
        if self.problem_type == "single_label_classification":
            best = scores.argmax(1)
            # One of -100 is a label that the model does not know.
            truth = np.where(truth >= 0, truth, -1).astype(np.int64)
            return Graded(
                scores=scores.max(1),
                right=best == truth,
                owners=np.arange(len(scores)),
                given=self.gives(best),
                shares=scores,
                truth=truth,
            )
        given = scores >= np.array(getattr(self, "thresholds", None), np.float64)
        return Graded(
            scores=scores.ravel(),
            right=(truth > 0).ravel(),
            owners=np.repeat(np.arange(len(scores)), scores.shape[1]),
            given=given.ravel(),
        )

    def tally(self, examples: Sequence[Any], predictions: Predictions) -> np.ndarray | None:
        """Right, given and true labels of each text; with one label F1 is the accuracy."""
        found = self.graded(examples, predictions)
        if found is None:
            return None
        scores, truth = predictions["scores"], found.truth
        if truth is not None:
            ones = np.ones(len(scores))
            return np.stack([found.right.astype(np.float64), ones, ones], axis=1)
        given, right = found.given.reshape(scores.shape), found.right.reshape(scores.shape)
        counts = [(given & right).sum(1), given.sum(1), right.sum(1)]
        return np.stack(counts, axis=1).astype(np.float64)

    def gives(self, best: np.ndarray) -> np.ndarray:
        """Whether a user is told of each answer, given the number of its class."""
        return np.ones(len(best), bool)

    def told_scores(self, scores: np.ndarray) -> np.ndarray:
        """Scores as a user sees them, `(examples, labels)`."""
        if self.score_map is None:
            return scores
        if self.problem_type == "single_label_classification":
            return self.score_map.of_shares(scores)
        return self.score_map.of_scores(scores)

    def withhold(self, answer: dict[str, Any], min_score: float) -> tuple[dict[str, Any], int, int]:
        """A label whose score is lower; see `Confidence.withhold`."""
        if not isinstance(answer.get("label"), list):
            return super().withhold(answer, min_score)
        pairs = list(zip(answer["label"], answer["score"], strict=True))
        kept = [(label, score) for label, score in pairs if score >= min_score]
        found = answer | {"label": [p[0] for p in kept], "score": [p[1] for p in kept]}
        if len(kept) < len(pairs):
            found["withheld"] = [
                {"label": label, "score": score} for label, score in pairs if score < min_score
            ]
        return found, len(pairs), len(kept)

    @staticmethod
    def out_of_scope_texts() -> tuple[str, ...]:
        """Messages that no class of the sample is for."""
        from lowcost_ft.data.sample_text.out_of_scope import OUT_OF_SCOPE

        return OUT_OF_SCOPE
