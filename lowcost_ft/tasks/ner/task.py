"""Named-entity recognition: sub-word alignment, windows, loss, decoding, entity scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.config.arguments import to_list
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import IGNORED_LABEL, Array, Features, collate
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.choices import Choices
from lowcost_ft.tasks.ner.checks import NerChecking
from lowcost_ft.tasks.ner.confidence import NerConfidence
from lowcost_ft.tasks.ner.editing import NerEditing
from lowcost_ft.tasks.ner.entities import entities_answer, scored_spans, without_loose_ends
from lowcost_ft.tasks.ner.examples import NerExample, text_example
from lowcost_ft.tasks.ner.explaining import NerExplaining
from lowcost_ft.tasks.ner.measuring import NerMeasuring
from lowcost_ft.tasks.ner.reading import NerReading
from lowcost_ft.tasks.ner.self_labelling import NerSelfLabelling
from lowcost_ft.tasks.ner.serving import NerServing
from lowcost_ft.tasks.ner.telling import NerTelling
from lowcost_ft.tasks.ner.uncertainty import unsure_of_entities
from lowcost_ft.tasks.ner.windows import SCHEMA, special_tokens, windowed_features
from lowcost_ft.tasks.ner.word_notices import recorded_rule
from lowcost_ft.tasks.ner.word_pieces import (
    FileWords,
    Pieces,
    cut_words,
    join_tags,
    spread_tags,
)
from lowcost_ft.tasks.ner.word_splitting import WORD_SPLITTING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["NerExample", "NerTask", "special_tokens", "text_example"]


class NerTask(
    NerReading,
    NerChecking,
    NerEditing,
    NerExplaining,
    NerMeasuring,
    NerConfidence,
    NerSelfLabelling,
    NerTelling,
    NerServing,
):
    """Predicts one IOB2 tag a word.

    What the model sees are the pieces of words (see `word_pieces`); each has one tag, read at its
    first sub-word. Decoders read it at the last sub-word, which alone has seen the whole piece.

    Args:
        labels: The tags in the order of the logits, `O` first.
        causal: Whether the model is a decoder.
        window_overlap: Tokens that the windows of a long sentence share; a quarter of the maximum
            length by default.
        file_words: Whether the words of files are cut into pieces, as those of texts are, or are
            what the model sees, as in runs that were saved before there were pieces.
        word_splitting: The rule by which the words of files are cut.
    """

    name: ClassVar[str] = "ner"
    head: ClassVar[str] = "token"
    tokenizer_options: ClassVar[dict[str, Any]] = {"words": True}
    reads_words = True
    schema: ClassVar[dict[str, Array]] = SCHEMA
    label_array: ClassVar[str | None] = "token_labels"
    problem_type: str | None = None
    metric = "f1"

    def __init__(
        self,
        labels: list[str],
        *,
        causal: bool = False,
        window_overlap: int | None = None,
        file_words: FileWords = "split",
        word_splitting: str = WORD_SPLITTING,
    ) -> None:
        labels = to_list(labels, "labels", of="tags")
        self.labels = labels
        self.causal = causal
        self.window_overlap = window_overlap
        self.file_words = file_words
        self.word_splitting = word_splitting
        self._label_ids = {label: i for i, label in enumerate(labels)}

    @classmethod
    def from_splits(cls, config: RunConfig, splits: Any, *, causal: bool) -> NerTask:
        """The task of a run that begins."""
        return cls(
            splits.labels,
            causal=causal,
            window_overlap=config.window_overlap,
            word_splitting=config.word_splitting,
        )

    @classmethod
    def from_record(cls, run: Mapping[str, Any]) -> NerTask:
        """The task of a run that is over."""
        return cls(
            run["labels"],
            causal=run.get("pad_token_id") is not None,
            window_overlap=(run.get("config") or {}).get("window_overlap"),
            file_words=run.get("file_words") or "as_given",
            word_splitting=recorded_rule(run),
        )

    @classmethod
    def for_planning(cls, labels: list[str]) -> NerTask:
        """The task of a run whose data are not known."""
        return cls(labels, causal=False)

    @staticmethod
    def blank_arrays(rows: int, tokens: int) -> dict[str, np.ndarray]:
        """Arrays for rows whose content does not matter."""
        return {
            "token_labels": np.zeros(tokens, np.int32),
            "words": np.zeros(tokens, np.int64),
            "word_starts": np.arange(rows + 1),
        }

    def pieces(self, example: NerExample) -> Pieces:
        """What the model sees of an example; the words of a text are pieces already."""
        if self.file_words == "split" and example.offsets is None:
            return cut_words(example.words, self.word_splitting)
        return Pieces(example.words, tuple(range(len(example.words))))

    def featurize(
        self,
        examples: Sequence[NerExample],
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
    ) -> Features:
        """Tokenizes the pieces of words and cuts long sentences into windows."""
        return windowed_features(
            [self.pieces(example) for example in examples],
            [example.tags for example in examples],
            tokenizer,
            label_ids=self._label_ids,
            causal=self.causal,
            max_length=max_length,
            overlap=self.window_overlap,
        )

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Summed cross-entropy over the labelled tokens.

        Args:
            logits: `(batch, sequence, labels)`.
            batch: With `token_labels`, `(batch, sequence)`.
        """
        return self.choices(logits, batch).cross_entropy()

    def choices(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> Choices:
        """The tag of each labelled token."""
        return Choices(logits=logits.flatten(0, 1), labels=batch["token_labels"].flatten())

    def choice_numbers(self, features: Features, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The piece of a word that is read at each token."""
        batch = collate(features, rows, pad_token_id=0)
        return batch["words"].numpy().ravel(), batch["token_labels"].numpy().ravel() >= 0

    @property
    def has_choices(self) -> bool:
        """Always."""
        return True

    def decode(self, logits: torch.Tensor) -> dict[str, torch.Tensor]:
        """Most probable tag of each token and its probability, `(batch, sequence)` each."""
        probability, label = logits.softmax(-1).max(-1)
        return {"label": label, "score": probability}

    def new_predictions(self, features: Features) -> Predictions:
        """One tag (0: `O`) and probability for every piece of the split."""
        num_words = int(features["word_starts"][-1])
        return {
            "label": np.zeros(num_words, np.int64),
            "score": np.zeros(num_words, np.float32),
        }

    def store(
        self,
        predictions: Predictions,
        decoded: dict[str, np.ndarray],
        batch: dict[str, torch.Tensor],
        examples: np.ndarray,
    ) -> None:
        """Writes the pieces that a micro-batch's windows own."""
        words = batch["words"].numpy()  # (B, T)
        owned = words >= 0
        for name, values in decoded.items():
            predictions[name][words[owned]] = values[owned]

    def tags(self, examples: Sequence[NerExample], predictions: Predictions) -> list[list[str]]:
        """Predicted tags of each example, one a word, made legal IOB2.

        An I- that continues nothing becomes O. Strict scoring ignores it anyway, and what a user
        is shown must be what was scored.
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
        """No entity."""
        return {"text": example.text, "entities": []}

    @staticmethod
    def truth_row(example: NerExample) -> dict[str, Any]:
        """`{"true_tags": [...]}` of a labelled example."""
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
        """Of each example, its entities: first word, word after the last, type, raw score."""
        for pieces, tags, scores in self._of_words(examples, predictions):
            yield scored_spans(pieces, tags, scores)

    def uncertainty(self, examples: Sequence[NerExample], predictions: Predictions) -> np.ndarray:
        """How many entities of each sentence are expected to be wrong: `unsure_of_entities`."""
        found = []
        for example, (pieces, tags, scores) in zip(
            examples, self._of_words(examples, predictions), strict=True
        ):
            least = np.ones(len(example.words))
            np.minimum.at(least, list(pieces.words), scores)
            found.append(unsure_of_entities(tags, least))
        return np.array(found)

    def choose_decisions(self, examples: Sequence[NerExample], predictions: Predictions) -> None:
        """Nothing is chosen: the most probable tag is the answer."""

    def losses(self, examples: Sequence[NerExample], predictions: Predictions) -> np.ndarray:
        """At least the summed cross-entropy of each sentence's pieces.

        Kept of each piece is the probability p of the predicted tag alone. It gives -log p where
        that tag is right. Where it is wrong, the true tag had 1 - p at most: -log(1 - p). Pieces of
        types that the model does not know count nothing.
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
        """Whether the tag of each word differs."""
        return before["label"] != after["label"]

    def score(
        self, examples: Sequence[NerExample], predictions: Predictions, *, seed: int = 0
    ) -> dict[str, Any]:
        """Entity-level precision, recall and F1 over words (strict IOB2)."""
        from lowcost_ft.scores.metrics import score_entities  # Not needed to predict.

        references = [list(example.tags or ()) for example in examples]
        return score_entities(self.tags(examples, predictions), references, seed=seed)
