"""What is answered about pairs of entities, and what that scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.classification.answers import ClassificationAnswering
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.confidence import split_list
from lowcost_ft.tasks.relation.examples import Mention, RelationExample
from lowcost_ft.tasks.relation.negatives import NO_RELATION
from lowcost_ft.tasks.relation.reading import relation_examples
from lowcost_ft.tasks.relation.together import entities_of

__all__ = ["RelationAnswering"]


class RelationAnswering(ClassificationAnswering):
    """The part of the task that turns scores into relations, and judges them."""

    negative: str | None

    def present(
        self, examples: Sequence[TextExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """What was found in each text.

        `{"text", "head", "tail", "label", "score"}` where the input names the pair; else
        `{"text", "entities", "relations"}`, whose relations name the ids of entities.
        """
        answers = []
        first, told = 0, predictions.get("told", predictions["scores"])
        for example in relation_examples(examples):
            scores = predictions["scores"][first : first + len(example.pairs)]
            shown = told[first : first + len(example.pairs)]
            first += len(example.pairs)
            best = scores.argmax(axis=1)
            labels = [self.labels[index] for index in best]
            sure = [float(row[index]) for row, index in zip(shown, best, strict=True)]
            if example.entities is None:
                head, tail = (_place(example.text, mention) for mention in example.pairs[0])
                answers.append(
                    {
                        "text": example.text,
                        "head": head,
                        "tail": tail,
                        "label": labels[0],
                        "score": sure[0],
                    }
                )
                continue
            answers.append(
                {
                    "text": example.text,
                    "entities": entities_of(example),
                    "relations": [
                        {"head": pair[0].id, "tail": pair[1].id, "label": label, "score": score}
                        for pair, label, score in zip(example.pairs, labels, sure, strict=True)
                        if label != self.negative
                    ],
                }
            )
        return answers

    def tally(self, examples: Sequence[TextExample], predictions: Predictions) -> np.ndarray:
        """Right, found and true relations of each pair; for macro F1, of each relation by itself.

        The negative label is none of them.
        """
        from lowcost_ft.scores.relations import relation_tally

        return relation_tally(
            [self.labels[index] for index in predictions["scores"].argmax(axis=1)],
            [str(example.label) for example in examples],
            self.labels,
            negative=self.negative or NO_RELATION,
            macro=self.metric == "macro_f1",
        )

    @staticmethod
    def score_of_tally(sums: np.ndarray) -> np.ndarray:
        """Micro or macro F1, as the tally is; see `Confidence.score_of_tally`."""
        from lowcost_ft.scores.relations import score_of_relation_tally

        return score_of_relation_tally(sums)

    def gives(self, best: np.ndarray) -> np.ndarray:
        """Relations are told, the negative label is not."""
        return np.array([self.labels[index] != self.negative for index in best], bool)

    def withhold(self, answer: dict[str, Any], min_score: float) -> tuple[dict[str, Any], int, int]:
        """Relations whose score is lower; see `Confidence.withhold`.

        That there is none tells no relation: it stays, and does not count.
        """
        if "relations" in answer:
            return split_list(answer, "relations", min_score)
        if self.negative is not None and answer["label"] == self.negative:
            return answer, 0, 0
        return super().withhold(answer, min_score)

    def blank_answer(self, example: TextExample) -> dict[str, Any]:
        """No entity, or none that could be related."""
        assert isinstance(example, RelationExample)
        return {"text": example.text, "entities": entities_of(example), "relations": []}

    def changed(
        self, examples: Sequence[TextExample], before: Predictions, after: Predictions
    ) -> np.ndarray:
        """Whether the label of each pair differs."""
        changed: np.ndarray = before["scores"].argmax(1) != after["scores"].argmax(1)
        return changed

    def score(
        self, examples: Sequence[TextExample], predictions: Predictions, *, seed: int = 0
    ) -> dict[str, Any]:
        """Micro and macro F1 without the negative label; see `score_relations`."""
        from lowcost_ft.scores.relations import score_relations  # Not needed to predict.

        answers = self.present(examples, predictions)
        return score_relations(
            [answer["label"] for answer in answers],
            [str(example.label) for example in examples],
            negative=self.negative or NO_RELATION,
            seed=seed,
        )


def _place(text: str, mention: Mention) -> dict[str, Any]:
    kind = {} if mention.type is None else {"type": mention.type}
    return {
        "start": mention.start,
        "end": mention.end,
        "text": text[mention.start : mention.end],
        **kind,
    }
