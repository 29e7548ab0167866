"""The inputs of one wave that one model answers, and what becomes of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowcost_ft.data.features import Features
from lowcost_ft.models.pooled_states import PooledTexts
from lowcost_ft.serve.answered import Answered
from lowcost_ft.serve.class_scores import WithLogits, class_rows
from lowcost_ft.serve.models import ServedModel

__all__ = ["Part"]


class Part:
    """The inputs of one wave that one model answers, tokenized.

    Attributes:
        model: The model.
        task: Its task, whose predictions hold logits too where they are scores of classes.
        examples: The inputs that are not blank.
        features: Their tokens.
        predictions: Filled in while micro-batches run.
        pooled: The states of the texts, by which those unlike the training data are told.
    """

    def __init__(self, model: ServedModel, examples: Sequence[Any]) -> None:
        self.model = model
        task = model.task
        self.task: Any = WithLogits(task) if task.gives_class_scores else task
        self.given = list(examples)
        self.examples = [one for one in self.given if not task.is_blank(one)]
        self.features: Features | None = None
        self.predictions: Any = {}
        self.pooled: PooledTexts | None = None
        if self.examples:
            self.features = model.predictor.features(self.examples)
            self.start()

    def start(self) -> None:
        """Begins, or begins anew where running beside others has failed."""
        assert self.features is not None
        self.predictions = self.task.new_predictions(self.features)
        if self.model.predictor.novelty is not None:
            self.pooled = PooledTexts(self.features.num_examples)

    def answers(self) -> list[Answered]:
        """The answer to each input, in their order."""
        task = self.model.task
        if self.features is None:
            return [Answered(answer=task.blank_answer(one)) for one in self.given]
        scores = class_rows(task, self.examples, self.predictions, "scores")
        logits = class_rows(task, self.examples, self.predictions, "logits")
        tokens = np.bincount(
            self.features.examples, weights=self.features.lengths, minlength=len(self.examples)
        )
        cut = self._truncated()
        states = None if self.pooled is None else self.pooled.states()
        told = self.model.predictor.answers_of(self.examples, self.predictions, states)
        found = iter(
            Answered(
                answer=answer,
                scores=scores[number],
                logits=logits[number],
                tokens=int(tokens[number]),
                truncated=number in cut,
            )
            for number, answer in enumerate(told)
        )
        return [
            Answered(answer=task.blank_answer(one)) if task.is_blank(one) else next(found)
            for one in self.given
        ]

    def _truncated(self) -> set[int]:
        """Which examples lost tokens; the features know only how many."""
        assert self.features is not None
        if not self.features.truncated:
            return set()
        if len(self.examples) == 1:
            return {0}
        # A row that was cut is as long as a row can be.
        longest = self.features.lengths.max()
        full = set(self.features.examples[self.features.lengths >= longest - 1].tolist())
        return {
            number
            for number in full
            if self.model.predictor.features([self.examples[number]]).truncated
        }
