"""How a task makes examples from rows, and what the rest of the package asks about an example."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.rows import Row

__all__ = ["ExampleReading"]


class ExampleReading(ABC):
    """The part of a task that reads examples and knows what is in one.

    A method may simply be a function of the task: `read = staticmethod(read_examples)`.

    Attributes:
        group_title: What messages call the thing that examples with the same `group_of` share.
    """

    group_title: ClassVar[str] = "input"

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
        """Makes examples from the rows of one split.

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

        By default there is nothing to decide: examples are learned as they were read, and there are
        no labels.

        Args:
            splits: Labelled examples by split, "train" among them unless `labels` is given.
            reading: How they were read.
            labels: Labels of a trained model; None: those of the training split.
            problems: Gets a line for each problem.
            notices: Gets a line for guesses and conversions.

        Returns:
            The converted splits, the labels, and the problem type.
        """
        return dict(splits), [], None

    @staticmethod
    @abstractmethod
    def sample_rows() -> dict[str, list[dict[str, Any]]]:
        """The rows of the embedded sample, by split."""

    @classmethod
    def sample_reading(cls, reading: ReadingOptions) -> ReadingOptions:
        """How the embedded sample is read, so that nothing is guessed and no notice is needed."""
        return reading

    @staticmethod
    @abstractmethod
    def blank(row: Row) -> Any:
        """The example of a blank line in a file of texts, which has nothing to predict."""

    @staticmethod
    def is_blank(example: Any) -> bool:
        """Whether an example holds nothing to predict."""
        return False

    @staticmethod
    @abstractmethod
    def read_texts(texts: Sequence[str], pairs: Sequence[str] | None) -> list[Any]:
        """Makes unlabelled examples of texts, or of pairs of texts.

        Raises:
            UserError: The task takes no pairs.
        """

    @classmethod
    def read_texts_for(
        cls, run: Mapping[str, Any], texts: Sequence[str], pairs: Sequence[str] | None
    ) -> list[Any]:
        """Does what `read_texts` does, in the way that an older version of the run may have."""
        return cls.read_texts(texts, pairs)

    @staticmethod
    @abstractmethod
    def input_of(example: Any) -> Hashable:
        """What the model sees of an example, in types that JSON has; equal inputs are one text."""

    @classmethod
    def group_of(cls, example: Any) -> Hashable:
        """The group of an example, which a validation cut never splits; by default, equal inputs.

        A task whose examples share a text returns the text.
        """
        return cls.input_of(example)

    @classmethod
    def grouping(cls, examples: Sequence[Any]) -> Callable[[Any], Hashable]:
        """What a validation cut of these examples never splits; by default, `group_of` of each."""
        return cls.group_of

    @classmethod
    def learned_inputs(cls, example: Any) -> Sequence[Hashable]:
        """The inputs whose answers are learned with an example; by default its own alone."""
        return [cls.input_of(example)]

    @staticmethod
    @abstractmethod
    def truth_of(example: Any) -> Any:
        """The true answer to an example, in types that JSON has; None without labels."""

    @staticmethod
    def classes(example: Any) -> frozenset[str]:
        """The classes of an example after `finish`, so that splits have the same shares of each."""
        return frozenset()

    @staticmethod
    def every_class(problem_type: str | None) -> bool:
        """Whether each class needs a row in a validation split that is cut off."""
        return False
