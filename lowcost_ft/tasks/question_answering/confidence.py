"""How sure a model for question answering is of each answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from lowcost_ft.scores.answers import exact_match
from lowcost_ft.scores.calibration import Graded
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.question_answering.examples import QuestionExample

__all__ = ["QuestionConfidence"]


class QuestionConfidence(Task):
    """The part of the task that says how far scores can be trusted."""

    answers_counted: ClassVar[str] = "answers, right where they match exactly"
    scores_follow_thresholds: ClassVar[bool] = True  # No answer is one of those that share it.

    @property
    def why_no_confidence(self) -> str | None:
        """Each answer has a score."""
        return None

    def graded(self, examples: Sequence[QuestionExample], predictions: Predictions) -> Graded:
        """The answer to each question; right is an exact match."""
        found = self.present(examples, predictions)
        right = [
            exact_match(answer["answer"], [a.text for a in example.answers or ()]) == 1
            for example, answer in zip(examples, found, strict=True)
        ]
        return Graded(
            scores=np.array([answer["score"] for answer in found], np.float64),
            right=np.array(right, bool),
            owners=np.arange(len(found)),
            given=np.ones(len(found), bool),
        )

    def tally(self, examples: Sequence[QuestionExample], predictions: Predictions) -> np.ndarray:
        """The F1 of the answer to each question, and 1."""
        shares = 1.0 - self.losses(examples, predictions)
        return np.stack([shares, np.ones(len(shares))], axis=1)

    @staticmethod
    def score_of_tally(sums: np.ndarray) -> np.ndarray:
        """The mean F1."""
        mean: np.ndarray = sums[..., 0] / np.maximum(sums[..., 1], 1)
        return mean

    def told_answers(self, ranked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answers with their scores as a user sees them."""
        if self.score_map is None:
            return ranked
        told = self.score_map.of_scores(np.array([one["score"] for one in ranked]))
        return [one | {"score": float(score)} for one, score in zip(ranked, told, strict=True)]

    def withhold(self, answer: dict[str, Any], min_score: float) -> tuple[dict[str, Any], int, int]:
        """Answers whose scores are lower, also of several; see `Confidence.withhold`."""
        if answer["score"] is None:
            return answer, 0, 0
        fields = ("answer", "start", "end", "score")
        ranked = answer.get("answers") or [{name: answer[name] for name in fields}]
        held = [one for one in ranked if one["score"] < min_score]
        if not held:
            return answer, 1, 1
        found = answer | {"withheld": held}
        if "answers" in answer:
            found["answers"] = [one for one in ranked if one["score"] >= min_score]
        # The best answer decides whether the question counts as answered.
        if answer["score"] >= min_score:
            return found, 1, 1
        return found | {"answer": None, "start": None, "end": None}, 1, 0
