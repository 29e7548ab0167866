"""Dialogue: the next turn of a conversation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.dialogues import read_dialogues
from lowcost_ft.data.rows import Row
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.writing.conversations import conversations, learned_inputs
from lowcost_ft.tasks.writing.example import WritingExample
from lowcost_ft.tasks.writing.reading import dialogue_examples
from lowcost_ft.tasks.writing.task import WritingTask

__all__ = ["TASK", "DialogueTask"]


class DialogueTask(WritingTask):
    """Writes the assistant's next turn.

    What the assistant said before is learned as well, each turn once. The best epoch is that of the
    highest probability of the reply: many replies are right that share no word with the reference.
    """

    name: ClassVar[str] = "dialogue"
    group_title = "conversation"
    metrics = ("chrf", "bleu")
    goal = "replies in conversations"
    unit = "replies"
    sample_text = "Where is my parcel?"
    keeps_newest = True
    talks = True

    def _metric(self) -> str:
        return "token_probability"

    @classmethod
    def read(
        cls,
        rows: Sequence[Row],
        reading: ReadingOptions,
        *,
        problems: list[str],
        notices: list[str],
        labelled: bool = True,
    ) -> list[WritingExample]:
        """Reads one split's rows."""
        dialogues = read_dialogues(
            rows,
            messages_column=reading.messages_column,
            references_column=reading.references_column,
            labelled=labelled,
            problems=problems,
            notices=notices,
        )
        return dialogue_examples(dialogues, labelled=labelled)

    @classmethod
    def grouping(cls, examples: Sequence[WritingExample]) -> Callable[[WritingExample], Hashable]:
        """The conversation that an example belongs to: see `writing.conversations`."""
        known = conversations(examples)
        return lambda example: known[example.turns]

    @classmethod
    def learned_inputs(cls, example: WritingExample) -> Sequence[Hashable]:
        """What stands before each reply of the assistant."""
        return learned_inputs(example)

    @staticmethod
    def read_texts(texts: Sequence[str], pairs: Sequence[str] | None) -> list[WritingExample]:
        """Conversations of one turn.

        Raises:
            UserError: There are second texts.
        """
        if pairs is not None:
            raise UserError("--text-pair is for pairs of texts: a dialogue has turns")
        return [
            WritingExample(turns=(("user", text.strip()),), target=None, source="text")
            for text in texts
        ]

    @staticmethod
    def sample_rows() -> dict[str, list[dict[str, Any]]]:
        """The embedded sample, by split."""
        from lowcost_ft.data.sample_dialogues import sample_dialogues

        return sample_dialogues()

    @staticmethod
    def too_long(limit: str) -> str:
        """What is said of conversations that lose something."""
        return f"conversations are longer than {limit}"

    @staticmethod
    def lost_when_cut(end: str) -> str:
        """What they lose."""
        return "their oldest turns"

    @property
    def fill(self) -> None:
        """Turns are read as they are."""
        return

    def present(
        self, examples: Sequence[WritingExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """The conversation so far and the reply, of each example."""
        return [
            {"id": example.row_id} | _row(example, text)
            for example, text in zip(examples, self.texts(predictions), strict=True)
        ]

    def answer(
        self, examples: Sequence[WritingExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """The same, without the `id` that is told beside it."""
        return [
            _row(example, text)
            for example, text in zip(examples, self.texts(predictions), strict=True)
        ]

    def blank_answer(self, example: WritingExample) -> dict[str, Any]:
        """No reply to nothing."""
        return _row(example, "")

    @staticmethod
    def truth_row(example: WritingExample) -> dict[str, Any]:
        """What would have been right."""
        if example.target is None:
            return {}
        return {"true_text": example.target, "true_texts": list(example.references)}


def _row(example: WritingExample, text: str) -> dict[str, Any]:
    messages = [{"role": role, "content": content} for role, content in example.turns]
    return {"messages": messages, "written": text}


TASK = DialogueTask
