"""What a check of labelled data finds: a kind, how bad it is, the rows, and how each is mended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lowcost_ft.scores.iob2 import Span

__all__ = ["DROP", "SEVERITIES", "Change", "Edit", "Finding", "FoundRow", "Severity"]

Severity = Literal["severe", "moderate", "minor"]
SEVERITIES: tuple[Severity, ...] = ("severe", "moderate", "minor")
"""From the worst to the least. `--strict` fails on the first."""

Change = Mapping[str, Any] | Literal["drop"]
"""What mends a row: new values of some of its columns, or that it is left out."""

DROP: Literal["drop"] = "drop"

Edit = tuple[Span | None, Span | None]
"""A span of a row's truth, and what takes its place; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class FoundRow:
    """One row of a finding.

    Attributes:
        place: Its number in its split, from 0.
        split: Its split.
        score: How sure it is that something is wrong, from 0 to 1.
        suggested: What would be right, as JSON can hold it; None where that is not known.
        told: What a person is told of it, beside its text.
        change: What mends it; None where that is not for a program to decide.
        edits: Spans that mend it.
        renames: Classes of the row and their new names, where `change` gives it these.
    """

    place: int
    split: str = "train"
    score: float = 1.0
    suggested: Any = None
    told: str = ""
    change: Change | None = None
    edits: Sequence[Edit] = ()
    renames: Mapping[str, str] = field(default_factory=dict)

    @property
    def mendable(self) -> bool:
        """Whether `--fix` can mend it: nothing but the training file is ever mended."""
        return self.split == "train" and (self.change is not None or bool(self.edits))


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that would hurt, with all of its rows.

    Attributes:
        kind: Its name for programs, such as "exact_duplicate".
        severity: How much it hurts.
        title: One sentence that says what was found, with its size.
        why: One sentence that says what it does to a model or to its score.
        rows: The rows, the surest first.
        command: What mends it, where that is another command than `--fix`.
        on_request: Whether `--fix` mends it only where `--kinds` names it.
    """

    kind: str
    severity: Severity
    title: str
    why: str
    rows: Sequence[FoundRow] = field(default_factory=list)
    command: str | None = None
    on_request: bool = False
