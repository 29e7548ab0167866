"""How the user's files are read: the flags that recipes and `lowcost-ft` share.

Plain settings without PyTorch, so that `--help` does not wait for it. `data/` reads by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from lowcost_ft.config.setting import setting

__all__ = ["PROBLEM_TYPES", "InputOptions", "LabelOptions", "ReadingOptions", "reading_of"]

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
PROBLEM_TYPES: tuple[str, ...] = get_args(ProblemType)
"""As transformers names them."""


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """Where a row's input stands, labelled or not."""

    text_column: str | None = setting(None, decides=False)
    """Column with the text. Guessed when not given."""
    text_pair_column: str | None = setting(None, decides=False)
    """Column with the second text of a pair."""
    tokens_column: str | None = setting(None, decides=False)
    """Column with the list of words."""


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Where a row's labels stand, and how they are written."""

    label_column: str | None = setting(None, decides=False)
    """Column with the label, the list of labels, or the number to predict."""
    tags_column: str | None = setting(None, decides=False)
    """Column with the list of tags, one a word."""


@dataclass(frozen=True, kw_only=True)
class ReadingOptions(InputOptions, LabelOptions):
    """All that decides how a file becomes examples."""

    problem_type: ProblemType | None = None
    """What to predict in text classification. Chosen from the labels when not given."""


def reading_of(settings: Any) -> ReadingOptions:
    """The reading options among other settings; what is not there keeps its default.

    Args:
        settings: A dataclass with fields of these names, or a mapping such as the `config` of a
            `run.json`, which an older version may have written.
    """
    found = settings if isinstance(settings, Mapping) else vars(settings)
    names = [field.name for field in fields(ReadingOptions)]
    return ReadingOptions(**{name: found[name] for name in names if name in found})
