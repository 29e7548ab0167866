"""Rows of texts and labels as examples, and what an example of a text holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.rows import Row
from lowcost_ft.data.sample import sample_intents
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.classification import examples as text_examples
from lowcost_ft.tasks.classification import labels as text_labels
from lowcost_ft.tasks.classification.examples import TextExample

__all__ = ["ClassificationReading"]


class ClassificationReading(Task):
    """The part of the task that reads examples."""

    read = staticmethod(text_examples.read_examples)
    finish = staticmethod(text_labels.finish)
    classes = staticmethod(text_labels.classes)

    @staticmethod
    def sample_rows() -> dict[str, list[dict[str, Any]]]:
        """The embedded sample, by split."""
        return sample_intents()

    @classmethod
    def sample_reading(cls, reading: ReadingOptions) -> ReadingOptions:
        """The sample has one label a text."""
        if reading.problem_type is not None:
            return reading
        return replace(reading, problem_type="single_label_classification")

    @staticmethod
    def blank(row: Row) -> TextExample:
        """The example of a blank line in a file of texts."""
        return TextExample(text=row.values["text"], label=None, source=row.source)

    @staticmethod
    def is_blank(example: TextExample) -> bool:
        """Whether an example has no text."""
        return not example.text.strip()

    @staticmethod
    def read_texts(texts: Sequence[str], pairs: Sequence[str] | None) -> list[TextExample]:
        """Unlabelled examples of texts, or of pairs of texts."""
        seconds = pairs if pairs is not None else [None] * len(texts)
        return [
            TextExample(text=text, text_pair=pair, label=None, source="text")
            for text, pair in zip(texts, seconds, strict=True)
        ]

    @staticmethod
    def every_class(problem_type: str | None) -> bool:
        """Whether each class should be in a validation split that is cut."""
        return problem_type == text_labels.SINGLE_LABEL

    @staticmethod
    def input_of(example: TextExample) -> tuple[str, str | None]:
        """What the model sees of an example."""
        return (example.text, example.text_pair)

    @staticmethod
    def truth_of(example: TextExample) -> Any:
        """What the model should say of an example."""
        return example.label
