"""What a task tells the checks of its data: the texts, words and spans of an example."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.findings import Change, Edit, Finding
from lowcost_ft.data.known_names import CONTEXT_NAMES, QUESTION_NAMES
from lowcost_ft.data.rows import Row, column_names
from lowcost_ft.scores.iob2 import Span
from lowcost_ft.tasks.examples import ExampleReading

__all__ = ["DataChecking", "mark_answers"]


class DataChecking(ExampleReading):
    """The part of a task that `lowcost-ft doctor` asks; a task overrides what it can answer.

    Attributes:
        judged_by_texts: Whether the truth depends on the texts alone, so that rows whose texts are
            nearly alike are nearly the same.
        several_truths: Whether an input may have several right answers.
    """

    judged_by_texts: ClassVar[bool] = False
    several_truths: ClassVar[bool] = False

    @classmethod
    def texts_of(cls, example: Any) -> tuple[str, ...]:
        """The texts of an example as a person reads them: one, or the two of a pair.

        By default this is everything that the model sees, as one text.
        """
        return ("\n".join(_strings(cls.input_of(example))),)

    @classmethod
    def every_text_of(cls, example: Any) -> tuple[str, ...]:
        """The texts of an example one by one, those that the model should write among them."""
        return cls.texts_of(example)

    @staticmethod
    def words_of(example: Any) -> tuple[str, ...]:
        """The words whose numbers spans give."""
        return ()

    @staticmethod
    def spans_of(example: Any) -> list[Span] | None:
        """The labelled spans of an example, in words; None if its truth is not spans."""
        return None

    @staticmethod
    def entity_of(example: Any, span: Span) -> dict[str, Any]:
        """A span in words as an entity of the example's text, for people and programs."""
        return {"word_start": span[0], "word_end": span[1], "label": span[2]}

    @classmethod
    def is_meant(cls, rows: Sequence[Row], reading: ReadingOptions) -> bool:
        """Whether rows hold more than a text and a label, and only this task reads it.

        Other tasks could often read such rows too, but would lose what they are about.

        Args:
            rows: Rows of one file, which may have any fault.
            reading: How they are read.
        """
        return False

    @classmethod
    def check_rows(
        cls, rows: Sequence[Row], reading: ReadingOptions, *, split: str
    ) -> list[Finding]:
        """Findings for faults that reading repairs silently, so that examples do not show them."""
        return []

    @classmethod
    def with_class(
        cls, rows: Sequence[Row], place: int, reading: ReadingOptions, *, old: str, new: Any
    ) -> Change | None:
        """The change that gives a row another class; None if no program should write it.

        Args:
            rows: All rows of the split: they show how the file writes classes.
            place: Number of the row.
            reading: How they were read.
            old: The class that the row has, as examples name it.
            new: The class that it should have; what is not the name of a class is not written.
        """
        return None

    @classmethod
    def with_names(
        cls, rows: Sequence[Row], place: int, reading: ReadingOptions, *, new: Mapping[str, str]
    ) -> Change | None:
        """What gives the classes of a row other names; None where a program should not write them.

        Args:
            rows: All rows of the split.
            place: Number of the row.
            reading: How they were read.
            new: Class, as examples name it -> its new name.
        """
        changed: dict[str, Any] = {}
        given = list(rows)
        for old, name in new.items():
            change = cls.with_class(given, place, reading, old=old, new=name)
            if isinstance(change, Mapping):
                changed |= change
                given[place] = replace(given[place], values=given[place].values | changed)
        return changed or None

    @classmethod
    def with_text(
        cls, rows: Sequence[Row], place: int, reading: ReadingOptions, *, old: str, new: str
    ) -> Change | None:
        """The change that gives a row another text; None if spans would shift."""
        return None

    @classmethod
    def with_spans(
        cls, row: Row, example: Any, reading: ReadingOptions, edits: Sequence[Edit]
    ) -> Mapping[str, Any] | None:
        """The columns of a row with edited spans; None if no program should write them.

        Args:
            row: The row, whose entities may have been changed since it was read.
            example: The example that was read from it.
            reading: How it was read.
            edits: Spans of the example, and what replaces each.
        """
        return None


def mark_answers(rows: Sequence[Row]) -> bool:
    """Whether the spans of the rows' texts have one label and stand beside a question each."""
    names = column_names(rows)
    question = next((name for name in QUESTION_NAMES if name in names), None)
    texts = [name for name in CONTEXT_NAMES if name in names and name != question]
    if question is None or not texts or "entities" not in names:
        return False
    spans = [span for row in rows for span in row.values.get("entities") or ()]
    labels = {span.get("label") if isinstance(span, dict) else None for span in spans}
    asked = [row.values.get(question) for row in rows]
    return len(labels) == 1 and None not in labels and all(isinstance(one, str) for one in asked)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)
