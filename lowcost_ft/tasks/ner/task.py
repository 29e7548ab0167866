"""Named-entity recognition as a task: its settings, features, loss and decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.config.arguments import to_list
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import Array, Features, collate
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.choices import Choices
from lowcost_ft.tasks.ner.answers import NerAnswering
from lowcost_ft.tasks.ner.checks import NerChecking
from lowcost_ft.tasks.ner.editing import NerEditing
from lowcost_ft.tasks.ner.examples import NerExample, text_example
from lowcost_ft.tasks.ner.explaining import NerExplaining
from lowcost_ft.tasks.ner.legal_tags import TagChoice, TagOrder, legal_tags, recorded_choice
from lowcost_ft.tasks.ner.measuring import NerMeasuring
from lowcost_ft.tasks.ner.reading import NerReading
from lowcost_ft.tasks.ner.self_labelling import NerSelfLabelling
from lowcost_ft.tasks.ner.serving import NerServing
from lowcost_ft.tasks.ner.telling import NerTelling
from lowcost_ft.tasks.ner.windows import SCHEMA, special_tokens, windowed_features
from lowcost_ft.tasks.ner.word_notices import recorded_rule
from lowcost_ft.tasks.ner.word_pieces import (
    FileWords,
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
    NerAnswering,
    NerSelfLabelling,
    NerTelling,
    NerServing,
):
    """Predicts one IOB2 tag a word.

    The model sees the pieces of words (see `word_pieces`). Each piece has one tag, which is read at
    its first sub-word; decoders read it at the last sub-word, which alone has seen the whole piece.

    Args:
        labels: The tags in the order of the logits, `O` first.
        causal: Whether the model is a decoder.
        window_overlap: Tokens that the windows of a long sentence share; None: a quarter of the
            maximum length.
        file_words: Whether the words of files are cut into pieces, as those of texts are, or are
            what the model sees, as in runs that were saved before there were pieces.
        word_splitting: The rule by which the words of files are cut.
        tag_choice: Whether the tags of a sentence are chosen so that they are legal together, or
            each for itself, as in runs that were saved before there was a choice.
    """

    name: ClassVar[str] = "ner"
    head: ClassVar[str] = "token"
    tokenizer_options: ClassVar[dict[str, Any]] = {"words": True}
    usual_drift: ClassVar[float] = 0.05
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
        tag_choice: TagChoice = "legal",
    ) -> None:
        labels = to_list(labels, "labels", of="tags")
        self.labels = labels
        self.causal = causal
        self.window_overlap = window_overlap
        self.file_words = file_words
        self.word_splitting = word_splitting
        self.tag_choice = tag_choice
        self._tag_order = TagOrder(labels)
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
            tag_choice=recorded_choice(run),
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
            "first_windows": np.ones(rows, bool),
            "word_starts": np.arange(rows + 1),
        }

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

    def num_choices(self, features: Features) -> int:
        """All pieces of words: some are nothing to a tokenizer, such as a lone joiner to BERT's."""
        return int(features["word_starts"][-1])

    @property
    def has_choices(self) -> bool:
        """Always."""
        return True

    def decode(self, logits: torch.Tensor) -> dict[str, torch.Tensor]:
        """Most probable tag of each token and its probability, `(batch, sequence)` each."""
        probability, label = logits.softmax(-1).max(-1)
        return {"label": label, "score": probability}

    def decode_batch(
        self, outputs: torch.Tensor, batch: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """As `decode`; a window whose tags are not legal gets the most probable legal ones."""
        decoded = self.decode(outputs)
        if self.tag_choice == "each":
            return decoded
        return legal_tags(decoded, outputs, batch, self._tag_order)

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
