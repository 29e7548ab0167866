"""How sure a task is of its answers: which were right, what is shown, what is withheld."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np

    from lowcost_ft.scores.calibration import Graded, ScoreMap

__all__ = ["Confidence", "split_list"]


class Confidence:
    """The part of a task that says how far its scores can be trusted.

    Attributes:
        score_map: What turns the model's scores into probabilities in `answer`; None leaves them as
            they are. Which answer is given, `present` and `score` never depend on it.
        answers_counted: What calibration counts, in words.
    """

    score_map: ScoreMap | None = None
    answers_counted: ClassVar[str] = "answers"

    @property
    def why_no_confidence(self) -> str | None:
        """Why no answer has a probability of being right; None where answers have one."""
        return "the task does not say which of its answers are right"

    def graded(self, examples: Sequence[Any], predictions: Any) -> Graded | None:
        """The answers to labelled examples with their raw scores, and which are right.

        Args:
            examples: The examples.
            predictions: The task's arrays.
        """
        return None

    def tally(self, examples: Sequence[Any], predictions: Any) -> np.ndarray | None:
        """Numbers of each labelled example, whose sums give the main score of any part of them.

        Args:
            examples: The examples.
            predictions: The task's arrays.

        Returns:
            `(examples, numbers)`; None where the score is no such sum.
        """
        return None

    @staticmethod
    def score_of_tally(sums: np.ndarray) -> np.ndarray:
        """The main score from sums `(..., numbers)`: `(...)`. For F1: right, found and true."""
        from lowcost_ft.scores.sums import f1_of

        return f1_of(sums)

    def withhold(self, answer: dict[str, Any], min_score: float) -> tuple[dict[str, Any], int, int]:
        """Takes out of an answer what has a lower score; it stays under `withheld`.

        Args:
            answer: One of `answer`'s.
            min_score: The lowest score that is told.

        Returns:
            The answer, how many answers it told before, and how many it tells now.
        """
        score = answer.get("score")
        if score is None:
            return answer, 0, 0
        if score >= min_score:
            return answer, 1, 1
        held = {name: answer[name] for name in ("label", "score") if name in answer}
        return answer | {"label": None, "withheld": [held]}, 1, 0

    @staticmethod
    def out_of_scope_texts() -> tuple[str, ...]:
        """Texts that have nothing to do with the task's sample; none where it has no such texts."""
        return ()


def split_list(
    answer: Mapping[str, Any], name: str, min_score: float
) -> tuple[dict[str, Any], int, int]:
    """`withhold` for answers that are a list of dictionaries with a `score`."""
    items = answer[name]
    kept = [item for item in items if item["score"] >= min_score]
    found = {**answer, name: kept}
    if len(kept) < len(items):
        found["withheld"] = [item for item in items if item["score"] < min_score]
    return found, len(items), len(kept)
