"""The flags of `predict`, `evaluate` and `explain` that question answering brings."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from lowcost_ft.config.setting import setting

__all__ = ["AskingFlags", "NullFlags", "QuestionFlags"]


@dataclass(frozen=True, kw_only=True)
class NullFlags:
    """When a question is left without an answer."""

    # There is no --no-null: it could not be told from the default.
    null: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave a question without an answer where the text seems to hold none. A run that was trained
    with such questions does so without the flag; --null-threshold 1000 makes it always answer."""
    null_threshold: float | None = setting(None)
    """Give no answer where that scores more than this above the best answer. Default: what training
    chose by the validation split, or 0. A run that saw no such question always answers without this
    flag and --null."""


@dataclass(frozen=True, kw_only=True)
class AskingFlags(NullFlags):
    """What is asked."""

    question: str | None = None
    """The question, beside --context or --context-file."""
    context: str | None = None
    """The text that the question is about."""
    context_file: str | None = None
    """File with that text, of any length: UTF-8."""


@dataclass(frozen=True, kw_only=True)
class QuestionFlags(AskingFlags):
    """What is asked, and how many answers are told."""

    n_best: int | None = setting(None, at_least=1)
    """How many answers are told, the best first."""
