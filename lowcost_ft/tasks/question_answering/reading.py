"""Rows of questions and texts as examples, and what an example of a question holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.known_names import ANSWER_NAMES, CONTEXT_NAMES, QUESTION_NAMES
from lowcost_ft.data.rows import Row, counted
from lowcost_ft.data.sample_questions import sample_questions
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.checking import mark_answers
from lowcost_ft.tasks.question_answering import examples as questions
from lowcost_ft.tasks.question_answering.examples import QuestionExample
from lowcost_ft.tasks.question_answering.flags import AskingFlags

__all__ = ["LABELS", "QuestionReading"]

LABELS = ["start", "end"]
"""The two outputs of the head, in the order that transformers reads them."""


class QuestionReading(Task):
    """The part of the task that reads examples."""

    group_title = "article"
    read = staticmethod(questions.read_examples)

    @classmethod
    def finish(
        cls,
        splits: Mapping[str, list[QuestionExample]],
        *,
        reading: ReadingOptions,
        labels: Sequence[str] | None = None,
        problems: list[str],
        notices: list[str],
    ) -> tuple[dict[str, list[QuestionExample]], list[str], None]:
        """Checks that there is something to learn; the labels are the same for all data."""
        for split, examples in splits.items():
            without = sum(not example.answers for example in examples)
            if without:
                notices.append(
                    f"{split}: {counted(without, 'question')} of {len(examples):,} without answer"
                )
        train = splits.get("train")
        if train is not None and not any(example.answers for example in train):
            problems.append("train: no question has an answer; give some that have")
        return dict(splits), list(LABELS), None

    @classmethod
    def is_meant(cls, rows: Sequence[Row], reading: ReadingOptions) -> bool:
        """Whether rows hold a question, a text that it is about, and answers in it or beside it."""
        if reading.answers_column is None and mark_answers(rows):
            return True
        names = {name for row in rows for name in row.values}
        question = reading.question_column or next((n for n in QUESTION_NAMES if n in names), None)
        # Any text may be called "text" or "document", also what a conversation is about.
        usual = (name for name in CONTEXT_NAMES if name not in ("text", "document"))
        context = reading.context_column or next((n for n in usual if n in names), None)
        answered = {reading.answers_column, *ANSWER_NAMES, "is_impossible"} & names
        return bool(answered) and any(
            isinstance(row.values.get(str(question)), str)
            and isinstance(row.values.get(str(context)), str)
            for row in rows
        )

    @staticmethod
    def sample_rows() -> dict[str, list[dict[str, Any]]]:
        """The embedded sample, by split."""
        return sample_questions()

    @staticmethod
    def blank(row: Row) -> QuestionExample:
        """The example of a blank line; files of lines are refused before it is asked for."""
        return QuestionExample(question="", context="", answers=None, source=row.source)

    @staticmethod
    def is_blank(example: QuestionExample) -> bool:
        """Whether there is no question, or no text that could answer it."""
        return not example.question.strip() or not example.context.strip()

    @staticmethod
    def read_texts(texts: Sequence[str], pairs: Sequence[str] | None) -> list[QuestionExample]:
        """Unlabelled examples of questions, and of the text of each.

        Raises:
            UserError: The texts of the questions are missing.
        """
        if pairs is None:
            raise UserError(
                "a question needs the text that it is about: give both (on the command line "
                "--question with --context or --context-file, in Python "
                "predictor(questions, texts))"
            )
        return [
            QuestionExample(question=text, context=pair, answers=None, source="question")
            for text, pair in zip(texts, pairs, strict=True)
        ]

    @classmethod
    def flag_examples(
        cls, flags: AskingFlags, *, text: str | None, json: bool
    ) -> list[QuestionExample] | None:
        """The question and its text; see `Task.flag_examples`."""
        return questions.flag_examples(flags, text)

    @staticmethod
    def input_of(example: QuestionExample) -> tuple[str, str]:
        """What the model sees of an example."""
        return (example.question, example.context)

    @staticmethod
    def group_of(example: QuestionExample) -> str:
        """Questions about one article stay on one side of a cut."""
        return example.title or example.context

    @staticmethod
    def truth_of(example: QuestionExample) -> list[list[Any]] | None:
        """What the model should say of an example."""
        return None if example.answers is None else [[a.start, a.text] for a in example.answers]

    @staticmethod
    def classes(example: QuestionExample) -> frozenset[str]:
        """Whether there is an answer, for a validation split with the same share."""
        return frozenset() if example.answers else frozenset({"unanswerable"})
