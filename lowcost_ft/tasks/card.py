"""What a task writes about a trained model: parts of its card, and code that loads it elsewhere."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lowcost_ft.config.tasks import task_settings

__all__ = ["PipelineCode", "RunRecord", "TaskCard", "Telling"]

RunRecord = Mapping[str, Any]
"""The content of `run.json`."""


@dataclass(frozen=True, kw_only=True)
class TaskCard:
    """The task's own words in a model card.

    Attributes:
        goal: What the model does, such as "gives a text one of 3 labels".
        known: Classes that the model can give.
        unit: What the examples of a split are: "texts", "sentences".
        class_title: What a class is called: "class", "entity type".
        class_unit: What the support of a class counts.
        score_note: A sentence on how scores are counted; may be empty.
        example: A text to try the model on.
        limits: Sentences on what the model cannot do.
    """

    goal: str
    known: frozenset[str] = frozenset()
    unit: str = "texts"
    class_title: str = "class"
    class_unit: str = "examples"
    score_note: str = ""
    example: str = "Where is my parcel?"
    limits: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class PipelineCode:
    """How `transformers.pipeline` is called for a run.

    Attributes:
        comment: The comment above the call.
        arguments: Arguments besides the task and the folder.
        example: What to predict, as Python.
    """

    comment: str
    arguments: list[str]
    example: str


class Telling:
    """The part of a task that tells people about a trained model and its answers."""

    name: ClassVar[str]

    @classmethod
    def card(cls, run: RunRecord, max_length: int) -> TaskCard:
        """The task's own words in a model card.

        Args:
            run: The content of `run.json`.
            max_length: Longest input in tokens.
        """
        return TaskCard(goal=f"was trained for {task_settings(cls.name).title}")

    @classmethod
    def answer_code(cls, run: RunRecord, max_length: int) -> str:
        """Python code that predicts with `model` and `tokenizer`, for the model card."""
        return f"# `lowcost-ft predict` shows how inputs are made for {cls.name}."

    @classmethod
    def settings_code(cls, run: RunRecord) -> list[str]:
        """Entries of the settings that load an adapter's base model, besides the labels."""
        return []

    @classmethod
    def pipeline_code(cls, run: RunRecord) -> PipelineCode | None:
        """How `transformers.pipeline` is called; None if no pipeline gives the same answers."""
        return None

    @classmethod
    def script_example(cls, run: RunRecord) -> str | None:
        """An input for a pipeline of transformers.js, as JavaScript; None if there is no such
        pipeline."""
        return json.dumps(cls.card(run, 0).example)

    @classmethod
    def example_flags(cls, run: RunRecord) -> list[str]:
        """Flags of `predict` with an input that shows what a new run does."""
        return ["--text", "Where is my parcel?"]

    @staticmethod
    def answer_text(answer: Mapping[str, Any]) -> str:
        """An answer as the terminal shows it."""
        return json.dumps(answer, ensure_ascii=False)

    @staticmethod
    def too_long(limit: str) -> str:
        """How messages describe inputs that are too long.

        Args:
            limit: The limit that they exceed, in words.
        """
        return f"texts are longer than {limit}"

    @staticmethod
    def lost_when_cut(end: str) -> str:
        """The part that inputs lose when they are cut, in words.

        Args:
            end: The end at which the tokenizer cuts: "end" or "beginning".
        """
        return f"their {end}"

    def cut_in_use(self, examples: int, features: Any, *, limit: str, end: str) -> str:
        """The notice about inputs of a run that were cut.

        Args:
            examples: How many inputs there are.
            features: Their tokens; `truncated` of the inputs were too long.
            limit: The limit that they exceed, in words.
            end: The end at which the tokenizer cuts: "end" or "beginning".
        """
        lost = self.lost_when_cut(end)
        return f"{features.truncated:,} of {examples:,} {self.too_long(limit)} and lost {lost}"

    @staticmethod
    def use_notice(run: Mapping[str, Any], examples: Sequence[Any]) -> str | None:
        """A notice for examples of another kind than those the run was trained on; else None."""
        return None
