"""What a task says of a trained model: parts of its card, and the code that loads it elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PipelineCode", "Run", "TaskCard"]

Run = Mapping[str, Any]
"""The content of `run.json`."""


@dataclass(frozen=True, kw_only=True)
class TaskCard:
    """The task's own words in a model card.

    Attributes:
        goal: What the model does, as in "gives a text one of 3 labels".
        known: Classes that the model can give.
        unit: What a split holds: "texts", "sentences".
        class_title: What a class is called: "class", "entity type".
        class_unit: What the support of a class counts.
        score_note: A sentence on how scores are counted; empty where there is nothing to say.
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
        comment: What stands above the call.
        arguments: Arguments besides the task and the folder.
        example: What to predict, as Python.
    """

    comment: str
    arguments: list[str]
    example: str
