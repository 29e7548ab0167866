"""The interface of a task: everything that the rest of the package asks it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from lowcost_ft.config.reading import ReadingOptions, reading_of
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import Array, Features
from lowcost_ft.tasks.answering import Answering, Predictions
from lowcost_ft.tasks.card import Telling
from lowcost_ft.tasks.checking import DataChecking
from lowcost_ft.tasks.choices import Choosing
from lowcost_ft.tasks.computing import Computing, Outputs
from lowcost_ft.tasks.confidence import Confidence
from lowcost_ft.tasks.editing import TextEditing
from lowcost_ft.tasks.explaining import Explaining
from lowcost_ft.tasks.flag_taking import FlagTaking
from lowcost_ft.tasks.heads import find_head
from lowcost_ft.tasks.measuring import Measuring
from lowcost_ft.tasks.self_labelling import SelfLabelling
from lowcost_ft.tasks.serving import Serving
from lowcost_ft.tasks.text_writing import TextWriting

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ENCODED_AT_ONCE", "Outputs", "Predictions", "Task"]

ENCODED_AT_ONCE = 1000
"""Examples in one call of a tokenizer: enough for its threads, and few enough for memory."""


class Task(
    Computing,
    Answering,
    Choosing,
    TextWriting,
    DataChecking,
    TextEditing,
    SelfLabelling,
    Explaining,
    Measuring,
    FlagTaking,
    Confidence,
    Telling,
    Serving,
):
    """Reads examples, featurizes them, turns outputs into a loss and into predictions, scores them.

    Attributes:
        name: Name of the task, as in `run.json`.
        head: Name of the model's head, in the table of `tasks/heads.py`; see `head_for`.
        tokenizer_options: Keyword arguments for `load_tokenizer`.
        generates: Whether predicting runs the model on tokens that it has written itself, which
            needs the lower layers even if their output for the given tokens is kept.
        reads_words: Whether files with one word a line or row hold sentences of the task.
        asks_about_entities: Whether the entities of a text are part of the input.
        usual_drift: The share of predictions that may change in an exported model.
        schema: The arrays that `featurize` makes besides the tokens, by name.
        labels: Names of the outputs, in the order of the logits.
        problem_type: What transformers calls the problem; None if it has no name for it.
        metric: Key in `score` that early stopping follows; higher is better.
        head_tokens: Tokens of the vocabulary for each output. The row of a new head begins as the
            rows that a language model's output layer has for them. None: the head begins random.
    """

    name: ClassVar[str]
    head: ClassVar[str]
    tokenizer_options: ClassVar[dict[str, Any]] = {}
    generates: ClassVar[bool] = False
    reads_words: ClassVar[bool] = False
    asks_about_entities: ClassVar[bool] = False
    usual_drift: ClassVar[float] = 0.02
    schema: ClassVar[dict[str, Array]]
    labels: list[str]
    problem_type: str | None
    metric: str
    head_tokens: Sequence[Sequence[int]] | None = None

    # --- A task of a run

    @classmethod
    def head_for(cls, settings: Mapping[str, Any]) -> str:
        """Name of the model's head, given the settings of a new run or those in `run.json`."""
        return cls.head

    @classmethod
    def head_of_run(cls, run: Mapping[str, Any]) -> str:
        """Name of the head that a finished run's model has, from its `run.json`."""
        return cls.head_for(run.get("config") or {})

    @classmethod
    def sequence_level(cls) -> bool:
        """Whether the model answers once a text, or once a pair of entities, and not once a token.

        The default learning rate depends on it (`default_learning_rate`).
        """
        return find_head(cls.head).per_text

    @classmethod
    @abstractmethod
    def from_splits(cls, config: RunConfig, splits: Any, *, causal: bool) -> Self:
        """Makes the task of a new run.

        Args:
            config: The settings of the run.
            splits: The examples of its splits.
            causal: Whether the model is a decoder, whose tokens see only the ones before them.
        """

    @classmethod
    @abstractmethod
    def from_record(cls, run: Mapping[str, Any]) -> Self:
        """Makes the task of a finished run from its `run.json`."""

    @classmethod
    @abstractmethod
    def for_planning(cls, labels: list[str]) -> Self:
        """Makes the task of a run whose data are not known, for a memory plan."""

    @classmethod
    def usual_epochs(cls, config: RunConfig, examples: int) -> int | None:
        """Epochs for so many examples if the user gives no number; None: as for any task."""
        return None

    @staticmethod
    def reading_record(reading: ReadingOptions, examples: Sequence[Any]) -> dict[str, Any]:
        """What `run.json` records at its top about how examples are read.

        Args:
            reading: How files are read.
            examples: The training examples.
        """
        return {}

    @staticmethod
    def recorded_reading(run: Mapping[str, Any]) -> ReadingOptions:
        """How the examples of a run were read, also if an older version recorded it."""
        return reading_of(run["config"])

    def record(self) -> dict[str, Any]:
        """What `run.json` records at its top about the task itself."""
        return {}

    def take_model(self, config: Any, *, model_id: str) -> None:
        """Takes the configuration of the model, before anything else is done.

        Args:
            config: The configuration, of transformers.
            model_id: What messages call the model.

        Raises:
            UserError: The model cannot do what the task needs.
        """
        return

    def has_padding(self, features: Features, rows: np.ndarray) -> bool:
        """Whether the rows of a micro-batch differ in length, so that some are padded."""
        lengths = features.lines(rows)[1]
        return bool((lengths != lengths[0]).any())

    def take_tokenizer(self, tokenizer: PreTrainedTokenizerBase, *, model_id: str) -> None:
        """Takes the tokenizer, before anything is tokenized.

        Args:
            tokenizer: The tokenizer of the model or of the run.
            model_id: What messages call the model.

        Raises:
            UserError: The tokenizer lacks something that the task needs.
        """
        return

    def input_notices(self, examples: Sequence[Any]) -> list[str]:
        """What looks wrong in these examples, once the tokenizer is known; often nothing."""
        return []

    # --- Examples -> tokens

    @abstractmethod
    def featurize(
        self, examples: Sequence[Any], tokenizer: PreTrainedTokenizerBase, *, max_length: int
    ) -> Features:
        """Tokenizes examples, labelled or not.

        Args:
            examples: The examples.
            tokenizer: The tokenizer.
            max_length: Longest input in tokens.
        """

    def cut_notice(
        self, split: str, examples: int, features: Features, *, max_length: int, end: str
    ) -> str:
        """The notice about examples that were too long.

        Args:
            split: The name of the split.
            examples: How many examples the split has.
            features: Their tokens; `truncated` of the examples were too long.
            max_length: The longest input.
            end: The end at which the tokenizer cuts: "end" or "beginning".
        """
        return (
            f"{features.truncated:,} of {examples:,} {split} "
            f"{self.too_long(f'--max-length {max_length}')}: {self.lost_when_cut(end)} is cut off"
        )

    def token_notices(self, split: str, examples: Sequence[Any], features: Features) -> list[str]:
        """Other notices about the tokens of a labelled split.

        Args:
            split: The name of the split.
            examples: Its examples.
            features: Their tokens.
        """
        return []

    @staticmethod
    @abstractmethod
    def blank_arrays(rows: int, tokens: int) -> dict[str, np.ndarray]:
        """Arrays of the schema for rows whose content does not matter, as in a memory plan.

        Args:
            rows: Number of rows.
            tokens: Number of tokens of all rows.
        """

    def longest_arrays(self, lengths: np.ndarray, config: RunConfig) -> dict[str, np.ndarray]:
        """The same for rows of these lengths, about `longest_row` each."""
        return self.blank_arrays(len(lengths), int(lengths.sum()))

    # --- Scores

    @abstractmethod
    def score(
        self, examples: Sequence[Any], predictions: Predictions, *, seed: int = 0
    ) -> dict[str, Any]:
        """Computes the metrics of predictions.

        Args:
            examples: Labelled examples.
            predictions: Their predictions.
            seed: Seed of the bootstrap intervals.
        """

    @abstractmethod
    def changed(
        self, examples: Sequence[Any], before: Predictions, after: Predictions
    ) -> np.ndarray:
        """Whether each prediction differs between two models.

        Returns:
            One value for each prediction: `(examples,)`, or one for each entity of a tagger.
        """

    def changed_since(
        self, earlier: Task, examples: Sequence[Any], before: Predictions, after: Predictions
    ) -> np.ndarray:
        """Does what `changed` does, for two models that decide by thresholds of their own.

        Args:
            earlier: The task as the first model was trained for it, which decides `before`.
            examples: The examples.
            before: Predictions of the first model.
            after: Predictions of the second one.
        """
        return self.changed(examples, before, after)
