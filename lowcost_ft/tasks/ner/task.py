"""Named-entity recognition: sub-word alignment, windows, loss, decoding, entity scores."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.config.arguments import to_list
from lowcost_ft.config.reading import ReadingOptions, reading_of
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import IGNORED_LABEL, Array, Features, cut_windows, flatten
from lowcost_ft.data.rows import Row
from lowcost_ft.data.sample import sample_entity_messages
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import ENCODED_AT_ONCE, Predictions
from lowcost_ft.tasks.choices import Choices
from lowcost_ft.tasks.ner import examples as ner_examples
from lowcost_ft.tasks.ner import labels as ner_labels
from lowcost_ft.tasks.ner.checks import NerChecking
from lowcost_ft.tasks.ner.editing import NerEditing
from lowcost_ft.tasks.ner.examples import NerExample, text_example
from lowcost_ft.tasks.ner.tagging import entities_to_tags, tags_to_spans
from lowcost_ft.tasks.ner.telling import NerTelling
from lowcost_ft.tasks.ner.word_notices import recorded_rule, word_notice
from lowcost_ft.tasks.ner.word_pieces import (
    FileWords,
    Pieces,
    cut_words,
    is_learned,
    join_tags,
    spread_tags,
)
from lowcost_ft.tasks.ner.word_splitting import WORD_SPLITTING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["NerExample", "NerTask", "special_tokens", "text_example"]


class NerTask(NerChecking, NerEditing, NerTelling):
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
    schema: ClassVar[dict[str, Array]] = {
        # The label of a token, `IGNORED_LABEL` where there is none.
        "token_labels": Array("token", fill=IGNORED_LABEL),
        # The word (counted over all examples) whose prediction is read at a token, -1 elsewhere.
        "words": Array("token", fill=-1),
        # The first word of each example, `(num_examples + 1,)`.
        "word_starts": Array("split"),
    }
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
    def read(
        cls,
        rows: Sequence[Row],
        reading: ReadingOptions,
        *,
        problems: list[str],
        notices: list[str],
        labelled: bool = True,
    ) -> list[NerExample]:
        """Reads one split's rows; see `ner_examples.read_examples`."""
        return ner_examples.read_examples(
            rows, reading, problems=problems, notices=notices, labelled=labelled
        )

    @classmethod
    def finish(
        cls,
        splits: Mapping[str, list[NerExample]],
        *,
        reading: ReadingOptions,
        labels: Sequence[str] | None = None,
        problems: list[str],
        notices: list[str],
    ) -> tuple[dict[str, list[NerExample]], list[str], None]:
        """Converts the tags of all splits and checks them; see `ner_labels.finish`."""
        converted, names = ner_labels.finish(
            splits, labels=labels, problems=problems, notices=notices
        )
        return converted, names, None

    @staticmethod
    def sample_rows() -> dict[str, list[dict[str, Any]]]:
        """The embedded sample, by split."""
        messages = sample_entity_messages()
        return {split: [_tagged(row) for row in rows] for split, rows in messages.items()}

    @staticmethod
    def blank(row: Row) -> NerExample:
        """The example of a blank line in a file of texts."""
        return text_example(row.values["text"], source=row.source)

    @staticmethod
    def is_blank(example: NerExample) -> bool:
        """Whether an example has no words."""
        return not example.words

    @staticmethod
    def read_texts(texts: Sequence[str], pairs: Sequence[str] | None) -> list[NerExample]:
        """Unlabelled examples of texts."""
        if pairs is not None:
            raise UserError("NER takes one text, not a pair")
        return [text_example(text) for text in texts]

    @classmethod
    def read_texts_for(
        cls, run: Mapping[str, Any], texts: Sequence[str], pairs: Sequence[str] | None
    ) -> list[NerExample]:
        """Unlabelled examples, cut into words by the rule of a run."""
        rule = recorded_rule(run)
        return [
            text_example(example.text or "", rule=rule) for example in cls.read_texts(texts, pairs)
        ]

    @staticmethod
    def classes(example: NerExample) -> frozenset[str]:
        """Entity types that occur in a finished example."""
        return ner_labels.classes(example)

    @staticmethod
    def every_class(problem_type: str | None) -> bool:
        """Whether each class should be in a validation split that is cut: no, types are many."""
        return False

    @staticmethod
    def input_of(example: NerExample) -> tuple[str, ...]:
        """What the model sees of an example."""
        return example.words

    @staticmethod
    def truth_of(example: NerExample) -> tuple[str, ...] | None:
        """What the model should say of an example."""
        return example.tags

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

    @staticmethod
    def reading_record(reading: ReadingOptions, examples: Sequence[NerExample]) -> dict[str, Any]:
        """What `run.json` says of how examples are read."""
        return {"word_splitting": reading.word_splitting, "file_words": "split"}

    @staticmethod
    def recorded_reading(run: Mapping[str, Any]) -> ReadingOptions:
        """How the examples of a run were read: its words are cut by the rule that it names."""
        return replace(reading_of(run["config"]), word_splitting=recorded_rule(run))

    @staticmethod
    def use_notice(run: Mapping[str, Any], examples: Sequence[NerExample]) -> str | None:
        """What to know where a run is used on other words than it was trained on."""
        return word_notice(run, examples)

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
        """Tokenizes the pieces of words and cuts long sentences into windows.

        Each piece's label and prediction belong to one window: the one that shows most context
        around it. No piece is counted twice, and none is left out but those that the tokenizer
        turns into nothing, which are `O`.
        """
        prefix, suffix = special_tokens(tokenizer)
        size = max_length - len(prefix) - len(suffix)
        overlap = max_length // 4 if self.window_overlap is None else self.window_overlap
        overlap = min(overlap, size - 1)
        cut = [self.pieces(example) for example in examples]
        word_starts = np.zeros(len(examples) + 1, np.int64)
        np.cumsum([len(pieces.texts) for pieces in cut], out=word_starts[1:])
        rows: list[list[int]] = []
        row_labels: list[list[int]] = []
        row_words: list[list[int]] = []
        owners: list[int] = []
        for number, (ids, word_ids) in enumerate(_encode(cut, tokenizer)):
            first_word = int(word_starts[number])
            given = examples[number].tags
            tags = None if given is None else spread_tags(given, cut[number].words)
            learned = [] if given is None else is_learned(given, cut[number].words)
            positions = _label_positions(word_ids, last=self.causal)
            windows = cut_windows(len(ids), size, overlap)
            window_of = _best_windows(positions, windows, causal=self.causal)
            owned: dict[int, list[int]] = defaultdict(list)
            for word, window in window_of.items():
                owned[window].append(word)
            for index, (start, end) in enumerate(windows):
                labels = [IGNORED_LABEL] * (end - start)
                words = [-1] * (end - start)
                for word in owned[index]:
                    place = positions[word] - start
                    words[place] = first_word + word
                    if tags is not None and learned[word]:
                        # A type that the model does not know has no part in the loss.
                        labels[place] = self._label_ids.get(tags[word], IGNORED_LABEL)
                before, after = len(prefix), len(suffix)
                if before + end - start + after == 0:
                    # Words that are nothing to a tokenizer without special tokens.
                    after, row = 1, [tokenizer.pad_token_id]
                else:
                    row = [*prefix, *ids[start:end], *suffix]
                rows.append(row)
                row_labels.append([IGNORED_LABEL] * before + labels + [IGNORED_LABEL] * after)
                row_words.append([-1] * before + words + [-1] * after)
                owners.append(number)
        input_ids, starts = flatten(rows)
        token_labels, _ = flatten(row_labels)
        with_types = "token_type_ids" in tokenizer.model_input_names
        return Features(
            input_ids=input_ids,
            starts=starts,
            examples=np.array(owners, np.int64),
            num_examples=len(examples),
            weights=np.add.reduceat(token_labels != IGNORED_LABEL, starts[:-1], dtype=np.float64),
            token_type_ids=np.zeros_like(input_ids) if with_types else None,
            arrays={
                "token_labels": token_labels,
                "words": flatten(row_words, np.int64)[0],
                "word_starts": word_starts,
            },
            schema=self.schema,
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
            yield pieces, _without_loose_ends(joined), predictions["score"][own]
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

        An entity has `start` and `end` (characters of the text), `label`, `text`, and `score`, the
        mean probability of its pieces' tags. The text of an example that came as words is those
        words, joined by spaces.
        """
        answers = []
        for example, (pieces, tags, scores) in zip(
            examples, self._of_words(examples, predictions), strict=True
        ):
            text, offsets = example.text, example.offsets
            if text is None or offsets is None:
                text, offsets = _joined(example.words)
            entities = []
            for start, end, label in tags_to_spans(tags):
                begin, stop = offsets[start][0], offsets[end - 1][1]
                first, last = (bisect_left(pieces.words, word) for word in (start, end))
                entities.append(
                    {
                        "start": begin,
                        "end": stop,
                        "label": label,
                        "text": text[begin:stop],
                        "score": round(float(scores[first:last].mean()), 4),
                    }
                )
            answers.append({"text": text, "entities": entities})
        return answers

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


def _tagged(row: Mapping[str, Any]) -> dict[str, Any]:
    """Words and IOB2 tags of a message."""
    spans = [(entity["start"], entity["end"], entity["label"]) for entity in row["entities"]]
    words, _, tags, _ = entities_to_tags(row["text"], spans)
    return {"tokens": list(words), "tags": list(tags)}


def _without_loose_ends(tags: Sequence[str]) -> list[str]:
    legal: list[str] = []
    for tag in tags:
        continues = bool(legal) and legal[-1] != "O" and legal[-1][2:] == tag[2:]
        legal.append(tag if tag[0] != "I" or continues else "O")
    return legal


def _joined(words: Sequence[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    offsets = tuple((int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True))
    return " ".join(words), offsets


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before and after one sequence."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    raise ValueError(f"the tokenizer turns 'a' into {full}, which does not contain {bare}")


def _encode(
    sentences: Sequence[Pieces], tokenizer: PreTrainedTokenizerBase
) -> Iterator[tuple[list[int], list[int | None]]]:
    for start in range(0, len(sentences), ENCODED_AT_ONCE):
        chunk = sentences[start : start + ENCODED_AT_ONCE]
        encoded = tokenizer(
            [list(pieces.texts) for pieces in chunk],
            is_split_into_words=True,
            add_special_tokens=False,
            return_attention_mask=False,
            verbose=False,
        )
        for index in range(len(chunk)):
            yield encoded["input_ids"][index], encoded.word_ids(index)


def _label_positions(word_ids: list[int | None], *, last: bool) -> dict[int, int]:
    """Token position at which each piece is labelled: its first or its last sub-word."""
    positions: dict[int, int] = {}
    for position, word in enumerate(word_ids):
        if word is not None and (last or word not in positions):
            positions[word] = position
    return positions


def _best_windows(
    positions: dict[int, int], windows: list[tuple[int, int]], *, causal: bool
) -> dict[int, int]:
    """The window that shows most context around each word.

    For an encoder that is the larger of the smaller sides, for a decoder the left side alone.
    """
    if len(windows) == 1:
        return dict.fromkeys(positions, 0)

    starts, ends = [start for start, _ in windows], [end for _, end in windows]

    def context(position: int, window: int) -> int:
        left, right = position - starts[window], ends[window] - 1 - position
        return left if causal else min(left, right)

    def best(position: int) -> int:
        # The few windows that hold it; a text of a megabyte has thousands.
        around = range(bisect_right(ends, position), bisect_right(starts, position))
        return max(around, key=lambda window: context(position, window))

    return {word: best(position) for word, position in positions.items()}
