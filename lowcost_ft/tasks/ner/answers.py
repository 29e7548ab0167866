"""What a tagger answers about entities, how wrong that is, and what it scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lowcost_ft.data.features import IGNORED_LABEL
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.ner.confidence import NerConfidence
from lowcost_ft.tasks.ner.entities import entities_answer, scored_spans, without_loose_ends
from lowcost_ft.tasks.ner.example import NerExample
from lowcost_ft.tasks.ner.uncertainty import unsure_of_entities
from lowcost_ft.tasks.ner.word_pieces import FileWords, Pieces, cut_words, join_tags, spread_tags

__all__ = ["NerAnswering"]


class NerAnswering(NerConfidence):
    """The part of the task that turns predicted tags into answers, and judges them."""

    file_words: FileWords
    word_splitting: str
    _label_ids: dict[str, int]

    def pieces(self, example: NerExample) -> Pieces:
        """The pieces that the model sees of an example; words of a text are pieces already."""
        if self.file_words == "split" and example.offsets is None:
            return cut_words(example.words, self.word_splitting)
        return Pieces(example.words, tuple(range(len(example.words))))

    def tags(self, examples: Sequence[NerExample], predictions: Predictions) -> list[list[str]]:
        """Predicted tags of each example, one a word, made legal IOB2.

        An I- that continues nothing becomes O. Strict scoring ignores it in any case, and a user
        must be shown what was scored.
        """
        return [tags for _, tags, _ in self._of_words(examples, predictions)]

    def _of_words(
        self, examples: Sequence[NerExample], predictions: Predictions
    ) -> Iterator[tuple[Pieces, list[str], np.ndarray]]:
        """Each example's pieces, legal tags of its words, and probabilities of its pieces' tags."""
        first = 0
        for example in examples:
            pieces = self.pieces(example)
            own = slice(first, first + len(pieces.texts))
            names = [self.labels[label] for label in predictions["label"][own]]
            joined = join_tags(names, pieces.words, len(example.words))
            yield pieces, without_loose_ends(joined), predictions["score"][own]
            first = own.stop

    def shown_choices(self, examples: Sequence[NerExample]) -> np.ndarray:
        """The first piece of each word, as for its tag (`join_tags`)."""
        found, first = [], 0
        for example in examples:
            pieces = self.pieces(example)
            of_words = np.full(len(example.words), -1)
            # The first of equal places is written last.
            of_words[list(pieces.words[::-1])] = np.arange(len(pieces.words))[::-1] + first
            found.append(of_words)
            first += len(pieces.words)
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def present(
        self, examples: Sequence[NerExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """`{"tokens": [...], "tags": [...]}` of each example."""
        tags = self.tags(examples, predictions)
        return [
            {"tokens": list(example.words), "tags": predicted}
            for example, predicted in zip(examples, tags, strict=True)
        ]

    def blank_answer(self, example: NerExample) -> dict[str, Any]:
        """An answer without entities."""
        return {"text": example.text, "entities": []}

    @staticmethod
    def truth_row(example: NerExample) -> dict[str, Any]:
        """`{"true_tags": [...]}` for a labelled example, else nothing."""
        return {} if example.tags is None else {"true_tags": example.tags}

    def answer(
        self, examples: Sequence[NerExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """`{"text": ..., "entities": [...]}` of each example.

        An entity has `start` and `end` (characters of the text), `label`, `text`, and `score`: the
        mean probability of its pieces' tags or, where the run was calibrated, the probability that
        the entity is right. The text of an example that came as words is those words, joined by
        spaces.
        """
        found = zip(examples, self.scored_spans(examples, predictions), strict=True)
        return [entities_answer(example, spans, self.told_score) for example, spans in found]

    def scored_spans(
        self, examples: Sequence[NerExample], predictions: Predictions
    ) -> Iterator[list[tuple[int, int, str, float]]]:
        """The entities of each example: first word, word after the last, type, raw score."""
        for pieces, tags, scores in self._of_words(examples, predictions):
            yield scored_spans(pieces, tags, scores)

    def uncertainty(self, examples: Sequence[NerExample], predictions: Predictions) -> np.ndarray:
        """The expected number of wrong entities in each sentence (`unsure_of_entities`)."""
        found = []
        for example, (pieces, tags, scores) in zip(
            examples, self._of_words(examples, predictions), strict=True
        ):
            least = np.ones(len(example.words))
            np.minimum.at(least, list(pieces.words), scores)
            found.append(unsure_of_entities(tags, least))
        return np.array(found)

    def choose_decisions(self, examples: Sequence[NerExample], predictions: Predictions) -> None:
        """Chooses nothing: the most probable tags are the answer."""

    def losses(self, examples: Sequence[NerExample], predictions: Predictions) -> np.ndarray:
        """A lower bound of the summed cross-entropy of each sentence's pieces, `(examples,)`.

        Only the probability p of each piece's predicted tag is kept. If the tag is right, its loss
        is -log p. If it is wrong, the true tag had a probability of 1 - p at most, and the bound is
        -log(1 - p). Pieces whose type the model does not know count nothing.
        """
        cut = [self.pieces(example) for example in examples]
        tags = [
            tag
            for example, pieces in zip(examples, cut, strict=True)
            for tag in spread_tags(example.tags or (), pieces.words)
        ]
        true = np.asarray([self._label_ids.get(tag, IGNORED_LABEL) for tag in tags], np.int64)
        right = predictions["label"] == true
        score = predictions["score"].astype(np.float64)
        losses = -np.log(np.maximum(np.where(right, score, 1 - score), np.finfo(np.float32).eps))
        losses[true == IGNORED_LABEL] = 0.0
        sizes = [len(pieces.texts) for pieces in cut]
        owners = np.repeat(np.arange(len(examples)), sizes)
        return np.bincount(owners, weights=losses, minlength=len(examples))

    def changed(
        self, examples: Sequence[NerExample], before: Predictions, after: Predictions
    ) -> np.ndarray:
        """Whether each entity that either model finds is not found alike by both, `(entities,)`.

        Most words are in no entity: of all tags, even many changed entities are few.
        """
        changed: list[bool] = []
        both = (self.scored_spans(examples, found) for found in (before, after))
        for spans in zip(*both, strict=True):
            one, other = ({span[:3] for span in found} for found in spans)
            differs = one ^ other
            changed += [span in differs for span in one | other]
        return np.array(changed, bool)

    def score(
        self, examples: Sequence[NerExample], predictions: Predictions, *, seed: int = 0
    ) -> dict[str, Any]:
        """Computes entity-level precision, recall and F1 over words (strict IOB2)."""
        from lowcost_ft.scores.metrics import score_entities  # Not needed to predict.

        references = [list(example.tags or ()) for example in examples]
        return score_entities(self.tags(examples, predictions), references, seed=seed)
