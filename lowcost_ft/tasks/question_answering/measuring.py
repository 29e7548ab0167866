"""What is compared of answers to questions: between texts, changes of texts, and groups."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.scores.answers import character_f1, token_f1
from lowcost_ft.tasks.measuring import Measuring, mean_of
from lowcost_ft.tasks.question_answering.examples import QuestionExample
from lowcost_ft.tasks.question_answering.flags import NullFlags

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["QuestionMeasuring"]

_OF_DOUBT = 0.01
"""What the expected F1 of all kept answers counts beside that of the one which is given."""


class QuestionMeasuring(Measuring):
    """The part of the task that compares."""

    can_measure: ClassVar[bool] = True
    attack_flags: ClassVar[type | None] = NullFlags
    not_audited: ClassVar[str] = (
        "an answer quotes its text, so that answers about unlike people differ even where nothing "
        "is wrong"
    )
    metric: str

    def score_sums(
        self, examples: Sequence[QuestionExample], predictions: Any
    ) -> tuple[Callable[[Floats], Floats], Floats]:
        """Mean F1 of the answers; see `Measuring.score_sums`."""
        scores = self.answer_scores(examples, predictions)
        return mean_of, np.stack([scores, np.ones(len(scores))], axis=1)

    def verdicts(self, examples: Sequence[QuestionExample], predictions: Any) -> list[Hashable]:
        """How right each answer is: its words may have been changed with the text."""
        return [round(score, 6) for score in self.answer_scores(examples, predictions).tolist()]

    def harm_values(self, examples: Sequence[QuestionExample], predictions: Any) -> Floats:
        """1 less the F1 of the answer; where that stays, how likely the right one has become."""
        task: Any = self
        harms = []
        ranked = task.ranked(examples, predictions)
        for example, answers in zip(examples, ranked, strict=True):
            true = [one.text for one in example.answers or ()]
            scores = [self.f1_of(answer["answer"], true) for answer in answers]
            expected = sum(s * one["score"] for s, one in zip(scores, answers, strict=True))
            harms.append(1 - scores[0] + _OF_DOUBT * (1 - expected))
        return np.array(harms, float)

    @property
    def f1_of(self) -> Callable[[str, Sequence[str]], float]:
        """The F1 of an answer and the true ones that the task's main score counts."""
        return character_f1 if self.metric == "character_f1" else token_f1

    def answer_scores(self, examples: Sequence[QuestionExample], predictions: Any) -> Floats:
        """That F1 of the answer to each question."""
        task: Any = self
        found = task.present(examples, predictions)
        return np.array(
            [
                self.f1_of(answer["answer"], [true.text for true in example.answers or ()])
                for example, answer in zip(examples, found, strict=True)
            ],
            float,
        )
