"""Why a text gets its label, its labels or its number: what is decided, and by which tokens."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.classification.flags import PairFlags
from lowcost_ft.tasks.classification.prompts import Prompt, prompted_places
from lowcost_ft.tasks.explaining import Decision, Explaining, SeenRow, encoded_places, log_odds

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lowcost_ft.data.features import Features

__all__ = ["ClassificationExplaining"]


class ClassificationExplaining(Explaining):
    """The part of the task that explains."""

    can_explain: ClassVar[bool] = True
    explain_flags: ClassVar[type | None] = PairFlags
    labels: list[str]
    problem_type: str | None
    text_prompt: Prompt | None

    def seen_rows(
        self,
        example: TextExample,
        features: Features,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
    ) -> list[SeenRow]:
        """The text, or the two of a pair."""
        texts = {"text": example.text}
        if example.text_pair is not None:
            texts["text_pair"] = example.text_pair
        if self.text_prompt is not None:
            (filled,) = self.text_prompt.fill_all([example], tokenizer, max_length=max_length)
            return [SeenRow(texts=texts, places=prompted_places(filled, tokenizer))]
        places = encoded_places(
            example.text, example.text_pair, tokenizer, max_length=max_length
        ) or [None]
        return [SeenRow(texts=texts, places=places)]

    def decisions(
        self, example: TextExample, features: Features, predictions: dict[str, np.ndarray]
    ) -> list[Decision]:
        """The label; each label that is given; or the number."""
        task: Any = self
        (answer,) = task.answer([example], predictions)
        if self.problem_type == "regression":
            told = {"score": answer["score"]}
            return [Decision(row=0, told=told, value=_first, is_number=True)]
        several = self.problem_type == "multi_label_classification"
        labels = answer["label"] if several else [answer["label"]]
        shown = answer["score"] if several else [answer["score"]]
        return [
            Decision(
                row=0,
                told={"label": label, "score": score},
                value=partial(_logit if several else log_odds, chosen=self.labels.index(label)),
            )
            for label, score in zip(labels, shown, strict=True)
        ]


def _first(logits: Any) -> Any:
    return logits[:, 0]


def _logit(logits: Any, *, chosen: int) -> Any:
    return logits[:, chosen]
