"""What a task is to the rest of the package: one module that says all of this."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.tasks import task_settings
from lowcost_ft.data.features import Array, Features
from lowcost_ft.data.rows import Row
from lowcost_ft.tasks.card import PipelineCode, Run, TaskCard

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["ENCODED_AT_ONCE", "Outputs", "Predictions", "Task"]

ENCODED_AT_ONCE = 1000
"""Examples that a tokenizer gets in one call: enough for its threads, few enough for memory."""

Outputs = Any
"""What a task's forward pass returns: a tensor, or a dictionary of them."""

Predictions = dict[str, np.ndarray]
"""Named arrays of one prediction an example (or a word), never logits of every token."""


class Task(ABC):
    """Reads examples, featurizes them, turns outputs into a loss and into predictions, scores them.

    Attributes:
        name: Name of the task, as in `run.json`.
        head: Name of the model's head, in the table of `tasks/heads.py`.
        tokenizer_options: Keyword arguments for `load_tokenizer`.
        generates: Whether predicting runs the model on tokens that it has made itself, so that its
            lower layers must be there even where their output for the given tokens is kept.
        reads_words: Whether files with one word a line or row hold sentences of the task.
        schema: What the arrays hold that `featurize` makes beside the tokens.
        labels: Names of the outputs, in the order of the logits.
        problem_type: What transformers calls the problem; None where it has no name for it.
        metric: Key in `score` that early stopping follows; higher is better.
    """

    name: ClassVar[str]
    head: ClassVar[str]
    tokenizer_options: ClassVar[dict[str, Any]] = {}
    generates: ClassVar[bool] = False
    reads_words: ClassVar[bool] = False
    schema: ClassVar[dict[str, Array]]
    labels: list[str]
    problem_type: str | None
    metric: str

    # --- Rows -> examples

    @classmethod
    @abstractmethod
    def read(
        cls,
        rows: Sequence[Row],
        reading: ReadingOptions,
        *,
        problems: list[str],
        notices: list[str],
        labelled: bool = True,
    ) -> list[Any]:
        """Reads one split's rows.

        Args:
            rows: Rows of one file or split.
            reading: How they are read.
            problems: Gets a line for each problem.
            notices: Gets a line for guesses and conversions.
            labelled: Whether to read what the model is to learn.

        Returns:
            The examples without problems. Each has a `source` and a `row_id`.
        """

    @classmethod
    @abstractmethod
    def finish(
        cls,
        splits: Mapping[str, list[Any]],
        *,
        reading: ReadingOptions,
        labels: Sequence[str] | None = None,
        problems: list[str],
        notices: list[str],
    ) -> tuple[dict[str, list[Any]], list[str], str | None]:
        """Decides what is learned, converts the truth, and checks the splits against each other.

        Args:
            splits: Labelled examples by split, "train" among them unless `labels` is given.
            reading: How they were read.
            labels: Labels of a trained model; None: those of the training split.
            problems: Gets a line for each problem.
            notices: Gets a line for guesses and conversions.

        Returns:
            The converted splits, the labels, and the problem type.
        """

    @staticmethod
    @abstractmethod
    def sample_rows() -> dict[str, list[dict[str, Any]]]:
        """The embedded sample: rows of each split."""

    @classmethod
    def sample_reading(cls, reading: ReadingOptions) -> ReadingOptions:
        """How the embedded sample is read, of which nothing needs to be guessed or told."""
        return reading

    @staticmethod
    @abstractmethod
    def blank(row: Row) -> Any:
        """The example of a blank line in a file of texts, which has nothing to predict."""

    @staticmethod
    def is_blank(example: Any) -> bool:
        """Whether there is nothing to predict in an example."""
        return False

    @staticmethod
    @abstractmethod
    def read_texts(texts: Sequence[str], pairs: Sequence[str] | None) -> list[Any]:
        """Unlabelled examples of texts, and of the second text of each where there is one.

        Raises:
            UserError: The task takes no pairs.
        """

    @staticmethod
    @abstractmethod
    def input_of(example: Any) -> Hashable:
        """What the model sees of an example, as JSON can hold it; equal inputs are one text."""

    @staticmethod
    @abstractmethod
    def truth_of(example: Any) -> Any:
        """What the model should say of an example, as JSON can hold it; None without labels."""

    @staticmethod
    def classes(example: Any) -> frozenset[str]:
        """The classes of a finished example, for a validation split with the same shares."""
        return frozenset()

    @staticmethod
    def every_class(problem_type: str | None) -> bool:
        """Whether each class needs a row in a validation split that is cut off."""
        return False

    # --- A task of a run

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

    @staticmethod
    def reading_record() -> dict[str, Any]:
        """What `run.json` says, at its top, of how examples are read."""
        return {}

    @staticmethod
    def use_notice(run: Mapping[str, Any], examples: Sequence[Any]) -> str | None:
        """What to know where a run is used on other examples than it was trained on."""
        return None

    # --- Examples -> tokens

    @abstractmethod
    def featurize(
        self, examples: Sequence[Any], tokenizer: PreTrainedTokenizerBase, *, max_length: int
    ) -> Features:
        """Tokenizes examples, labelled or not, in batches."""

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
        return self.decode(self.forward(model, inputs))

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
    def present(self, examples: Sequence[Any], predictions: Predictions) -> list[dict[str, Any]]:
        """What `predictions.jsonl` says of each example, in the order of the examples."""

    @staticmethod
    @abstractmethod
    def truth_row(example: Any) -> dict[str, Any]:
        """What `predictions.jsonl` says beside the prediction: what was right."""

    def answer(self, examples: Sequence[Any], predictions: Predictions) -> list[dict[str, Any]]:
        """What a user is told of each example, in the order of the examples."""
        return self.present(examples, predictions)

    def choose_decisions(self, examples: Sequence[Any], predictions: Predictions) -> None:
        """Chooses by labelled validation data what answers depend on, such as thresholds.

        Most tasks have nothing to choose.
        """
        return

    def blank_answer(self, example: Any) -> dict[str, Any]:
        """The answer to an example that has nothing to predict, in the usual form."""
        return {}

    def use(self, *, threshold: float | None, top_k: int | None) -> list[str]:
        """Takes the flags of `predict` and `evaluate` that say how scores become answers.

        Args:
            threshold: The score from which on a label applies.
            top_k: How many scored labels an answer has.

        Returns:
            What is wrong with them, in words for the user.
        """
        title = task_settings(self.name).title
        return [
            f"{flag} is for {kind}; this run is {title}: leave it out"
            for flag, kind, value in (
                ("--threshold", "multi-label classification", threshold),
                ("--top-k", "text classification", top_k),
            )
            if value is not None
        ]

    def top_scores(self, predictions: Predictions, count: int) -> list[dict[str, float]]:
        """The labels with the highest scores of each example, where the task has such."""
        raise AssertionError(f"{self.name} has no scores of labels")

    @abstractmethod
    def losses(self, examples: Sequence[Any], predictions: Predictions) -> np.ndarray:
        """How wrong the prediction of each labelled example is, to find the worst of them.

        NaN where the model does not know the label.
        """

    # --- In words

    @classmethod
    def card(cls, run: Run, max_length: int) -> TaskCard:
        """The task's own words in a model card.

        Args:
            run: The content of `run.json`.
            max_length: Longest input in tokens.
        """
        return TaskCard(goal=f"was trained for {task_settings(cls.name).title}")

    @classmethod
    def answer_code(cls, run: Run, max_length: int) -> str:
        """Python code that predicts with `model` and `tokenizer`, for the model card."""
        return f"# `lowcost-ft predict` shows how inputs are made for {cls.name}."

    @classmethod
    def settings_code(cls, run: Run) -> list[str]:
        """Entries of the settings that load an adapter's base model, besides the labels."""
        return []

    @classmethod
    def pipeline_code(cls, run: Run) -> PipelineCode | None:
        """How `transformers.pipeline` is called; None where none gives the same answers."""
        return None

    @classmethod
    def example_flags(cls, run: Run) -> list[str]:
        """Flags of `predict` with an input that shows what a new run does."""
        return ["--text", "Where is my parcel?"]

    @staticmethod
    def answer_text(answer: Mapping[str, Any]) -> str:
        """An answer for the terminal."""
        return json.dumps(answer, ensure_ascii=False)

    def doubts(
        self,
        split: str,
        examples: Sequence[Any],
        scores: Mapping[str, Any],
        predictions: Predictions,
    ) -> tuple[list[str], str | None]:
        """Whether the model learned anything.

        Args:
            split: Name of the scored split.
            examples: Its examples.
            scores: Its scores.
            predictions: The predictions they were computed from.

        Returns:
            Warnings by themselves; and, for a model that learned nothing, in which respect.
        """
        return [], None

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
