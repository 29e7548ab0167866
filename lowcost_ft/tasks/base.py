"""What a task is to the rest of the package: one module that says all of this."""

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
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["ENCODED_AT_ONCE", "Outputs", "Predictions", "Task"]

ENCODED_AT_ONCE = 1000
"""Examples that a tokenizer gets in one call: enough for its threads, few enough for memory."""

Outputs = Any
"""What a task's forward pass returns: a tensor, or a dictionary of them."""


class Task(
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
        generates: Whether predicting runs the model on tokens that it has made itself, so that its
            lower layers must be there even where their output for the given tokens is kept.
        reads_words: Whether files with one word a line or row hold sentences of the task.
        asks_about_entities: Whether the entities of a text are part of the input.
        schema: What the arrays hold that `featurize` makes beside the tokens.
        labels: Names of the outputs, in the order of the logits.
        problem_type: What transformers calls the problem; None where it has no name for it.
        metric: Key in `score` that early stopping follows; higher is better.
        head_tokens: For each output tokens of the vocabulary: its row of a new head begins as what
            a language model has for them in its output layer. None: the head is drawn.
    """

    name: ClassVar[str]
    head: ClassVar[str]
    tokenizer_options: ClassVar[dict[str, Any]] = {}
    generates: ClassVar[bool] = False
    reads_words: ClassVar[bool] = False
    asks_about_entities: ClassVar[bool] = False
    schema: ClassVar[dict[str, Array]]
    labels: list[str]
    problem_type: str | None
    metric: str
    head_tokens: Sequence[Sequence[int]] | None = None

    # --- A task of a run

    @classmethod
    def head_for(cls, settings: Mapping[str, Any]) -> str:
        """Name of the model's head under some settings, of a new run or as `run.json` has them."""
        return cls.head

    @classmethod
    def head_of_run(cls, run: Mapping[str, Any]) -> str:
        """Name of the head that the model of a run that is over has, from its `run.json`."""
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
        """The task of a run that begins.

        Args:
            config: Its settings.
            splits: Its examples.
            causal: Whether the model is a decoder, whose tokens see only what stands before them.
        """

    @classmethod
    @abstractmethod
    def from_record(cls, run: Mapping[str, Any]) -> Self:
        """The task of a run that is over, from its `run.json`."""

    @classmethod
    @abstractmethod
    def for_planning(cls, labels: list[str]) -> Self:
        """The task of a run whose data are not known."""

    @classmethod
    def usual_epochs(cls, config: RunConfig, examples: int) -> int | None:
        """Passes over so many examples where the user gives no number; None: as in any task."""
        return None

    @staticmethod
    def reading_record(reading: ReadingOptions, examples: Sequence[Any]) -> dict[str, Any]:
        """What `run.json` says, at its top, of how examples are read.

        Args:
            reading: How files are read.
            examples: The training examples.
        """
        return {}

    @staticmethod
    def recorded_reading(run: Mapping[str, Any]) -> ReadingOptions:
        """How the examples of a run were read, which an older version may have recorded."""
        return reading_of(run["config"])

    def record(self) -> dict[str, Any]:
        """What `run.json` says, at its top, of what the task was settled on."""
        return {}

    def take_model(self, config: Any, *, model_id: str) -> None:
        """Takes the configuration of the model, before anything else is done.

        Args:
            config: The model's, of transformers.
            model_id: What messages call the model.

        Raises:
            UserError: It cannot do what the task needs.
        """
        return

    def has_padding(self, features: Features, rows: np.ndarray) -> bool:
        """Whether a micro-batch of these rows holds padding."""
        lengths = features.lines(rows)[1]
        return bool((lengths != lengths[0]).any())

    def take_tokenizer(self, tokenizer: PreTrainedTokenizerBase, *, model_id: str) -> None:
        """Takes the tokenizer of all that follows, before anything is tokenized.

        Args:
            tokenizer: The model's, or the run's.
            model_id: What messages call the model.

        Raises:
            UserError: It lacks something that the task needs.
        """
        return

    # --- Examples -> tokens

    @abstractmethod
    def featurize(
        self, examples: Sequence[Any], tokenizer: PreTrainedTokenizerBase, *, max_length: int
    ) -> Features:
        """Tokenizes examples, labelled or not, in batches."""

    def cut_notice(
        self, split: str, examples: int, features: Features, *, max_length: int, end: str
    ) -> str:
        """What to tell of examples that were too long.

        Args:
            split: The name of the split.
            examples: How many examples it has.
            features: Their tokens, of which some were `truncated`.
            max_length: The longest input.
            end: The end at which the tokenizer cuts: "end" or "beginning".
        """
        return (
            f"{features.truncated:,} of {examples:,} {split} "
            f"{self.too_long(f'--max-length {max_length}')}: {self.lost_when_cut(end)} is cut off"
        )

    def token_notices(self, split: str, examples: Sequence[Any], features: Features) -> list[str]:
        """What else the tokens of a labelled split show that is to be told.

        Args:
            split: The name of the split.
            examples: Its examples.
            features: Their tokens.
        """
        return []

    @staticmethod
    @abstractmethod
    def blank_arrays(rows: int, tokens: int) -> dict[str, np.ndarray]:
        """Arrays of the schema for rows whose content does not matter, as in a memory plan."""

    # --- The model

    def forward(self, model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> Outputs:
        """Runs the model on a micro-batch; the outputs are in float32.

        Args:
            model: A task model of transformers.
            inputs: What it takes, `(batch, sequence)` each.
        """
        return model(**inputs).logits.float()

    def real_outputs(self, outputs: Outputs, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Which of the outputs are of a token and not of padding, `(batch, outputs)`.

        Args:
            outputs: What `forward` returns, with an output a token.
            batch: All that `featurize` made of these rows.
        """
        return batch["attention_mask"].bool()

    @abstractmethod
    def loss(self, outputs: Outputs, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Sum of the losses over a micro-batch; the step divides by its summed weights.

        Labels that the model does not know have no part in it, nor in the weights.
        """

    def predict(
        self,
        model: torch.nn.Module,
        inputs: Mapping[str, torch.Tensor],
        batch: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Predictions of a micro-batch, on the device.

        Args:
            model: A task model of transformers.
            inputs: What it takes, on its device.
            batch: All that `featurize` made of these rows, on the CPU.
        """
        return self.decode_batch(self.forward(model, inputs), batch)

    def decode_batch(
        self, outputs: Outputs, batch: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """The same as `decode`, for tasks that must know what stands where in a row.

        Args:
            outputs: What `forward` returns.
            batch: All that `featurize` made of these rows, on any device.
        """
        return self.decode(outputs)

    @abstractmethod
    def decode(self, outputs: Outputs) -> dict[str, torch.Tensor]:
        """Reduces a micro-batch's outputs to predictions, on the device."""

    # --- Predictions

    @abstractmethod
    def new_predictions(self, features: Features) -> Predictions:
        """Arrays for the predictions of all examples, filled with zeros."""

    @abstractmethod
    def store(
        self,
        predictions: Predictions,
        decoded: dict[str, np.ndarray],
        batch: dict[str, torch.Tensor],
        examples: np.ndarray,
    ) -> None:
        """Writes a decoded micro-batch, whose rows belong to `examples`, into `predictions`."""

    @abstractmethod
    def score(
        self, examples: Sequence[Any], predictions: Predictions, *, seed: int = 0
    ) -> dict[str, Any]:
        """Metrics of the predictions against the examples' labels."""

    @abstractmethod
    def changed(
        self, examples: Sequence[Any], before: Predictions, after: Predictions
    ) -> np.ndarray:
        """Whether each prediction differs between two models, for the drift of `merge`."""
