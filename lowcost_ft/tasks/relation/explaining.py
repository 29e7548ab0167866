"""Why two entities are related: the label of a pair, and the words of its marked text."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.explaining import Decision, Explaining, SeenRow, encoded_places, log_odds
from lowcost_ft.tasks.relation.examples import RelationExample
from lowcost_ft.tasks.relation.markers import marked_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lowcost_ft.data.features import Features

__all__ = ["RelationExplaining"]


class RelationExplaining(Explaining):
    """The part of the task that explains: one decision a pair.

    Words are those of the text with its marks, which is what the model sees.
    """

    can_explain: ClassVar[bool] = True
    explain_flags: ClassVar[type | None] = None
    labels: list[str]
    negative: str | None

    def seen_rows(
        self,
        example: TextExample,
        features: Features,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
    ) -> list[SeenRow]:
        """The marked text of each pair."""
        assert isinstance(example, RelationExample)
        texts, _ = marked_texts(
            [example.text] * len(example.pairs), example.pairs, tokenizer, max_length=max_length
        )
        return [
            SeenRow(
                texts={"marked_text": text},
                places=encoded_places(text, None, tokenizer, max_length=max_length),
            )
            for text in texts
        ]

    def decisions(
        self, example: TextExample, features: Features, predictions: dict[str, np.ndarray]
    ) -> list[Decision]:
        """The label of the pair; of several pairs those with a relation."""
        assert isinstance(example, RelationExample)
        task: Any = self
        (answer,) = task.answer([example], predictions)
        # A pair that is asked about has one answer; else the pairs with a relation are listed.
        listed = iter([answer] if example.entities is None else answer["relations"])
        found = []
        for row, (scores, pair) in enumerate(
            zip(predictions["scores"], example.pairs, strict=True)
        ):
            label = int(scores.argmax())
            if example.entities is not None and self.labels[label] == self.negative:
                continue
            told: dict[str, Any] = {
                side: example.text[mention.start : mention.end]
                for side, mention in zip(("head", "tail"), pair, strict=True)
            }
            told |= {"label": self.labels[label], "score": next(listed)["score"]}
            found.append(Decision(row=row, told=told, value=partial(log_odds, chosen=label)))
        return found
