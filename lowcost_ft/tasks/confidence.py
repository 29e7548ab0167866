"""How sure a task is of its answers: which ones are right, and which ones are withheld."""

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
        score_map: Turns the model's scores into probabilities in `answer`; None: scores stay as
            they are. The choice of the answer, `present` and `score` never depend on it.
        answers_counted: What calibration counts, in words, such as "answers".
        scores_follow_thresholds: Whether scores depend on the task's thresholds, so that their map
            is for those of the run alone.
    """

    score_map: ScoreMap | None = None
    scores_follow_thresholds: ClassVar[bool] = False
    answers_counted: ClassVar[str] = "answers"

    @property
    def why_no_confidence(self) -> str | None:
        """Why no answer has a probability of being right; None where answers have one."""
        return "the task does not say which of its answers are right"

    def decides_otherwise(self, run: Mapping[str, Any]) -> bool:
        """Whether a flag has set other thresholds than those that a run was scored with.

        Args:
            run: The content of `run.json`.
        """
        kind: Any = type(self)
        usual = kind.from_record(run)
        return bool(getattr(self, "thresholds", None) != getattr(usual, "thresholds", None))

    def graded(self, examples: Sequence[Any], predictions: Any) -> Graded | None:
        """The answers to labelled examples with their raw scores, and which are right.

        Args:
            examples: The examples.
            predictions: The task's arrays.
        """
        return None

    def tally(self, examples: Sequence[Any], predictions: Any) -> np.ndarray | None:
        """Numbers of each labelled example, whose sums over any set of them give its main score.

        Args:
            examples: The examples.
            predictions: The task's arrays.

        Returns:
            `(examples, numbers)`; None if the score is not computed from sums.
        """
        return None

    @staticmethod
    def score_of_tally(sums: np.ndarray) -> np.ndarray:
        """The main score `(...)` of sums `(..., numbers)`; for F1 these: right, found, true."""
        from lowcost_ft.scores.sums import f1_of

        return f1_of(sums)

    def withhold(self, answer: dict[str, Any], min_score: float) -> tuple[dict[str, Any], int, int]:
        """Moves the parts of an answer with a lower score to `withheld`.

        Args:
            answer: An answer, as `answer` returns it.
            min_score: The lowest score that is shown.

        Returns:
            The answer, and how many parts it showed before and shows now.
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
        """Texts that have nothing to do with the task's sample; there may be none."""
        return ()


def split_list(
    answer: Mapping[str, Any], name: str, min_score: float
) -> tuple[dict[str, Any], int, int]:
    """Does what `withhold` does for answers that hold a list of dictionaries with a `score`."""
    items = answer[name]
    kept = [item for item in items if item["score"] >= min_score]
    found = {**answer, name: kept}
    if len(kept) < len(items):
        found["withheld"] = [item for item in items if item["score"] < min_score]
    return found, len(items), len(kept)
