"""Files as the doctor sees them: all rows, and the examples of the rows that can be read."""

import re
from dataclasses import dataclass, field
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.findings import Finding
from lowcost_ft.data.rows import Row
from lowcost_ft.tasks.base import Task

__all__ = ["PLACE", "CheckedData", "CheckedSplit"]

PLACE = re.compile(r".*:(row )?(\d+)", re.DOTALL)
"""The place of a row, `Row.source`: a file, and a line or the number of a row."""


@dataclass
class CheckedSplit:
    """One file.

    Attributes:
        name: "train", "validation" or "test".
        path: The file as the user named it.
        rows: All of its rows.
        examples: The examples of the rows that can be read.
        places: For each example the number of its row, from 0, `(examples,)`.
    """

    name: str
    path: str
    rows: list[Row]
    examples: list[Any] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def line(self, place: int) -> int | None:
        """The line of a row, given by its number; None in a file without lines."""
        found = PLACE.fullmatch(self.rows[place].source)
        return None if found is None or found[1] else int(found[2])

    def number(self, place: int) -> int:
        """The number of a row in its file, from 1; where lines count, among the rows read."""
        found = PLACE.fullmatch(self.rows[place].source)
        return int(found[2]) if found is not None and found[1] else place + 1

    def named(self, place: int) -> str:
        """Where a row stands in its file, in words: its line, its number or its name."""
        source = self.rows[place].source
        found = PLACE.fullmatch(source)
        if found is None:
            return source.removeprefix(f"{self.path}:")
        return f"{'row' if found[1] else 'line'} {int(found[2]):,}"


@dataclass
class CheckedData:
    """All files, read as one task.

    Attributes:
        kind: The class of the task.
        task: Its name.
        splits: The files, "train" first.
        reading: How they were read.
        labels: The classes, or entity types, of the training rows.
        problem_type: What transformers calls the problem; None where it has no name for it.
        notices: What the user should know about the reading.
        findings: What was found while reading.
        lost: What is wrong with lines of the training file that are no rows.
    """

    kind: type[Task]
    task: str
    splits: dict[str, CheckedSplit]
    reading: ReadingOptions
    labels: list[str] = field(default_factory=list)
    problem_type: str | None = None
    notices: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def train(self) -> CheckedSplit:
        """The training file."""
        return self.splits["train"]

    def one_class(self) -> bool:
        """Whether each row has exactly one class."""
        return self.kind.every_class(self.problem_type)

    def truths_are_names(self) -> bool:
        """Whether truths are classes or types, of which another one is wrong for the same input."""
        return not self.kind.several_truths and self.problem_type != "regression"

    def class_of(self, example: Any) -> str:
        """The class of an example that has exactly one."""
        return next(iter(self.kind.classes(example)))
