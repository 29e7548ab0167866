"""Files as the doctor sees them: every row, and of those that can be read their examples."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.config.tasks import task_names, task_settings
from lowcost_ft.data.answers import accepted_rows
from lowcost_ft.data.findings import DROP, Finding, FoundRow
from lowcost_ft.data.readers import read_rows
from lowcost_ft.data.rows import Row, counted, file_of
from lowcost_ft.errors import UserError
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.problems import argument_problems, capped

__all__ = ["CheckedData", "CheckedSplit", "read_data"]

_TRIED_ROWS = 200
"""Rows by which the task of a file is told."""

_SINGLY = 1000
"""Rows without an example that are read once more by themselves, to say what is wrong with each."""

_LINE = re.compile(r".*:(row )?(\d+)", re.DOTALL)


@dataclass
class CheckedSplit:
    """One file.

    Attributes:
        name: "train", "validation" or "test".
        path: The file as the user named it.
        rows: All of its rows.
        examples: The examples of those that can be read.
        places: The number of each example's row, from 0, `(examples,)`.
    """

    name: str
    path: str
    rows: list[Row]
    examples: list[Any] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def line(self, place: int) -> int | None:
        """The line of a row; None in a file without lines."""
        found = _LINE.fullmatch(self.rows[place].source)
        return None if found is None or found[1] else int(found[2])


@dataclass
class CheckedData:
    """All files, read as one task.

    Attributes:
        kind: The class of the task.
        task: Its name.
        splits: The files, "train" first.
        reading: How they were read.
        labels: The classes, or types, of the training rows.
        problem_type: What transformers calls the problem; None where it has no name for it.
        notices: What the user should know of the reading.
        findings: What was found while reading.
    """

    kind: type[Task]
    task: str
    splits: dict[str, CheckedSplit]
    reading: ReadingOptions
    labels: list[str] = field(default_factory=list)
    problem_type: str | None = None
    notices: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def train(self) -> CheckedSplit:
        """The training file."""
        return self.splits["train"]

    def one_class(self) -> bool:
        """Whether each row has exactly one class."""
        return self.kind.every_class(self.problem_type)

    def class_of(self, example: Any) -> str:
        """The class of an example that has exactly one."""
        return next(iter(self.kind.classes(example)))


def read_data(
    files: Mapping[str, str], *, task: str | None = None, reading: ReadingOptions | None = None
) -> CheckedData:
    """Reads files that may have any fault.

    Args:
        files: Path of each split, "train" among them.
        task: Name of the task; None: the one that can read most rows of the training file.
        reading: How the files are read; None: all is guessed.

    Raises:
        UserError: No row of a file can be read, so that there is nothing to check.
    """
    reading = reading or ReadingOptions()
    notices: list[str] = []
    if task is None:
        task = _find_task(files["train"], reading)
        notices.append(f"read as {task_settings(task).title} (--task overrides)")
    kind = task_class(task)
    problems = argument_problems(task, reading, None, None)
    if problems:
        raise UserError(problems)
    splits = {
        name: CheckedSplit(
            name, path, read_rows(path, problems, notices, reading, words=kind.reads_words)
        )
        for name, path in files.items()
    }
    faults: dict[str, list[str]] = {name: [] for name in splits}
    for name, split in splits.items():
        before = len(problems)
        kept = accepted_rows(split.rows, reading, problems=problems, notices=notices)
        number = {id(row): place for place, row in enumerate(split.rows)}
        _read_examples(kind, split, kept, number, reading, faults[name], notices)
        if not split.examples and len(problems) == before:
            problems += faults[name] or [f"{split.path}: no row can be read"]
    # Without rows or columns there is nothing to check: the usual messages say what to do.
    if not all(split.examples for split in splits.values()):
        raise UserError(capped(problems), total=len(problems))
    data = CheckedData(kind, task, splits, reading, notices=notices)
    for name, split in splits.items():
        data.findings += _unreadable(split, faults[name])
    if problems:  # Of lines that are no rows.
        data.findings.append(_of_lines(problems))
    _finish(data)
    return data


def _find_task(path: str, reading: ReadingOptions) -> str:
    """The task that can read most rows; the first of those that can read as many.

    A task that rows are meant for comes before others that could read them, too, if it can read
    half of them: a pair of entities is more than a text with a label.
    """
    problems: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    meant: list[str] = []
    enough: list[str] = []
    read: dict[bool, list[Row]] = {}
    of_file: list[str] = []
    for name in task_names():
        kind = task_class(name)
        if kind.reads_words not in read:
            of_file = []
            read[kind.reads_words] = read_rows(path, of_file, [], reading, words=kind.reads_words)
        rows = read[kind.reads_words][:_TRIED_ROWS]
        problems[name] = list(of_file)
        try:
            counts[name] = len(kind.read(rows, reading, problems=problems[name], notices=[]))
        except UserError as error:
            problems[name] += error.problems
            counts[name] = 0
        if kind.is_meant(rows, reading):
            meant.append(name)
            enough += [name] if 2 * counts[name] >= len(rows) else []
    best = max(enough or counts, key=lambda name: counts[name])
    if counts[best]:
        return best
    told = dict.fromkeys(problem for name in meant or problems for problem in problems[name])
    raise UserError(capped(list(told)), total=len(told))


def _read_examples(
    kind: type[Task],
    split: CheckedSplit,
    rows: Sequence[Row],
    number: Mapping[int, int],
    reading: ReadingOptions,
    faults: list[str],
    notices: list[str],
) -> None:
    examples = kind.read(rows, reading, problems=faults, notices=notices)
    places: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        places[row.source].append(number[id(row)])
    for example in examples:
        of_source = places[example.source]
        split.places.append(of_source.pop(0) if len(of_source) > 1 else of_source[0])
        split.examples.append(example)
    # Some faults are told once for a file: each row is asked for its own.
    read = set(split.places)
    silent = [row for row in rows if number[id(row)] not in read]
    if examples and faults:
        own: list[str] = []
        for row in silent[:_SINGLY]:
            kind.read([row], reading, problems=own, notices=[])
        known = set(faults)
        faults += [problem for problem in own if problem not in known]


def _unreadable(split: CheckedSplit, faults: Sequence[str]) -> list[Finding]:
    """Rows that training would refuse: those without a text, and the others."""
    of_row: dict[int, list[str]] = defaultdict(list)
    starts = {row.source: place for place, row in enumerate(split.rows)}
    lines = [(line, place) for place in range(len(split.rows)) if (line := split.line(place))]
    read = set(split.places)
    for problem in faults:
        source, _, told = problem.partition(": ")
        place = starts.get(source.split(" word ")[0])
        found = _LINE.fullmatch(source)
        if place is None and found and file_of(source) == split.path:
            before = [p for line, p in lines if line <= int(found[2])]
            place = before[-1] if before else None
        if place is not None and place not in read and told not in of_row[place]:
            of_row[place].append(told)
    empty = {
        place
        for place, faults_of in of_row.items()
        if any("is an empty text" in one or "is missing; fill it in" in one for one in faults_of)
    }
    findings = []
    for kind, chosen, what in (
        ("empty_text", empty, "without a text"),
        (
            "unreadable_row",
            {p for p, told in of_row.items() if told} - empty,
            "that cannot be read",
        ),
    ):
        if chosen:
            rows = [
                FoundRow(
                    place=place,
                    split=split.name,
                    told="; ".join(of_row[place]),
                    change=DROP if split.name == "train" else None,
                )
                for place in sorted(chosen)
            ]
            findings.append(
                Finding(
                    kind=kind,
                    severity="severe",
                    rows=rows,
                    title=f"{counted(len(rows), 'row')} of {split.name} {what}",
                    why="training refuses the file because of them",
                )
            )
    return findings


def _of_lines(problems: Sequence[str]) -> Finding:
    told = "; ".join(capped(problems))
    return Finding(
        kind="unreadable_line",
        severity="severe",
        title=f"{counted(len(problems), 'line')} that cannot be read: {told}",
        why="training refuses the file because of them",
    )


def _finish(data: CheckedData) -> None:
    """Converts the labels; rows whose label cannot be converted are found, and left out."""
    while True:
        problems: list[str] = []
        notices: list[str] = []
        raw = {name: split.examples for name, split in data.splits.items()}
        splits, data.labels, data.problem_type = data.kind.finish(
            raw, reading=data.reading, problems=problems, notices=notices
        )
        at_fault = {problem.partition(": ")[0] for problem in problems}
        bad = {
            name: {
                place
                for example, place in zip(split.examples, split.places, strict=True)
                if example.source in at_fault
            }
            for name, split in data.splits.items()
        }
        if not any(bad.values()):
            break
        for name, split in data.splits.items():
            kept = [
                pair
                for pair in zip(split.examples, split.places, strict=True)
                if pair[1] not in bad[name]
            ]
            split.examples, split.places = [e for e, _ in kept], [p for _, p in kept]
            of_split = [p for p in problems if file_of(p.partition(": ")[0]) == split.path]
            data.findings += _unreadable(split, of_split)
    if problems:
        data.findings.append(
            Finding(
                kind="not_trainable",
                severity="severe",
                title="; ".join(capped(problems)),
                why="training refuses these files",
            )
        )
    data.notices += notices
    for name, examples in splits.items():  # --exclude-label and --negative-ratio leave some out.
        split = data.splits[name]
        places = defaultdict(list)
        for example, place in zip(split.examples, split.places, strict=True):
            places[example.source].append(place)
        of = [places[example.source] for example in examples]
        split.places = [p.pop(0) if len(set(p)) > 1 else p[0] for p in of]
        split.examples = list(examples)
