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
            return [self._blank(one) for one in self.given]
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
                answer=_with_id(self.examples[number], answer),
                scores=scores[number],
                logits=logits[number],
                tokens=int(tokens[number]),
                truncated=number in cut,
            )
            for number, answer in enumerate(told)
        )
        return [self._blank(one) if task.is_blank(one) else next(found) for one in self.given]

    def _blank(self, example: Any) -> Answered:
        return Answered(answer=_with_id(example, self.model.task.blank_answer(example)))

    def _truncated(self) -> set[int]:
        """Which examples lost tokens; the features know only how many."""
        features = self.features
        assert features is not None
        if features.truncated == len(self.examples):
            return set(range(features.truncated))
        longest = np.zeros(len(self.examples), np.int64)
        np.maximum.at(longest, features.examples, features.lengths)
        found: set[int] = set()
        # Most that were cut are as long as a row can be. Others are shorter, such as a question
        # that lost its end, with a short text.
        for number in np.argsort(-longest, kind="stable").tolist():
            if len(found) == features.truncated:
                break
            if self.model.predictor.features([self.examples[number]]).truncated:
                found.add(number)
        return found


def _with_id(example: Any, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer behind the input's own `id`, if it has one, as `Predictor.predict` gives it."""
    return answer if example.row_id is None else {"id": example.row_id, **answer}
