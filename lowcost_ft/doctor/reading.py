"""Files -> what the doctor checks: their rows, the task that reads them, and their examples."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.config.tasks import task_names, task_settings
from lowcost_ft.data.answers import accepted_rows
from lowcost_ft.data.findings import Finding
from lowcost_ft.data.readers import read_rows
from lowcost_ft.data.rows import Row, file_of
from lowcost_ft.doctor.checked_data import CheckedData, CheckedSplit
from lowcost_ft.doctor.unreadable_rows import unreadable_lines, unreadable_rows
from lowcost_ft.errors import UserError
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.problems import argument_problems, capped

__all__ = ["read_data"]

_TRIED_ROWS = 200
"""How many rows of a file are tried to find its task."""

_ANOTHER_FLAG = re.compile(
    r"(give|leave out) --entity-offsets|say with --discontinuous|say which with --"
    r"|leave its rows out with --exclude-label|\(soft labels\)"
    r"|the quote that opens here is not closed"  # No row behind it is read.
)
"""What problems say that come of how the file is read, and not of its rows."""

_SINGLY = 1000
"""How many rows without an example are read again one by one, to say what is wrong with each."""


def read_data(
    files: Mapping[str, str], *, task: str | None = None, reading: ReadingOptions | None = None
) -> CheckedData:
    """Reads files that may have any fault.

    Args:
        files: Path of each split, "train" among them.
        task: Name of the task; None: the one that can read most rows of the training file.
        reading: How the files are read; None: all is guessed.

    Raises:
        UserError: No row of a file can be read, so that there is nothing to check; or it is read
            with wrong flags.
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
    misread: list[str] = []
    for name, split in splits.items():
        kept = accepted_rows(split.rows, reading, problems=problems, notices=notices)
        number = {id(row): place for place, row in enumerate(split.rows)}
        misread += _read_examples(kind, split, kept, number, reading, faults[name], notices)
        told = any(problem.startswith(f"{split.path}:") for problem in problems)
        if not split.examples and not told:
            problems += faults[name] or [f"{split.path}: no row can be read"]
    # Without rows or columns there is nothing to check: the usual messages say what to do.
    if not all(split.examples for split in splits.values()):
        raise UserError(capped(problems), total=len(problems))
    # A flag mends what is wrong with these: nothing should be said of rows that were misread.
    if misread := [*filter(_ANOTHER_FLAG.search, problems), *misread]:
        raise UserError(capped(misread), total=len(misread))
    data = CheckedData(kind, task, splits, reading, notices=notices)
    for name, split in splits.items():
        data.findings += unreadable_rows(split, faults[name])
    if problems:  # These are about lines that are not rows.
        data.findings.append(unreadable_lines(problems))
        path = data.train.path.rstrip("/")  # Of a folder of brat's, a file in it is named.
        data.lost = [one for one in problems if one.startswith((f"{path}:", f"{path}/"))]
    _finish(data)
    return data


def _find_task(path: str, reading: ReadingOptions) -> str:
    """The task that can read most rows; the first of those that can read as many.

    A task that the rows are meant for, and that can read half of them, comes before others which
    could read them too: a pair of entities is more than a text with a label.
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
) -> list[str]:
    """Fills in the examples of a split and their places.

    Args:
        kind: The class of the task.
        split: The file.
        rows: Its rows without those that an annotator did not accept.
        number: The number of each row, by the row's `id()`.
        reading: How the file is read.
        faults: Gets a line for each row that cannot be read.
        notices: Gets a line for guesses.

    Returns:
        What another flag would mend for the whole file.
    """
    examples = kind.read(rows, reading, problems=faults, notices=notices)
    misread = [fault for fault in faults if _ANOTHER_FLAG.search(fault)]
    places: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        places[row.source].append(number[id(row)])
    for example in examples:
        of_source = places[example.source]
        split.places.append(of_source.pop(0) if len(of_source) > 1 else of_source[0])
        split.examples.append(example)
    # Reading tells some faults once a file, so each row is read by itself for its own.
    read = set(split.places)
    silent = [row for row in rows if number[id(row)] not in read]
    if examples and faults:
        own: list[str] = []
        for row in silent[:_SINGLY]:
            kind.read([row], reading, problems=own, notices=[])
        known = set(faults)
        faults += [problem for problem in own if problem not in known]
    return misread


def _finish(data: CheckedData) -> None:
    """Converts the labels; rows whose label cannot be converted are left out, and findings.

    Raises:
        UserError: The labels are read with wrong flags, or no row of a file is left.
    """
    while True:
        problems: list[str] = []
        notices: list[str] = []
        raw = {name: split.examples for name, split in data.splits.items()}
        splits, data.labels, data.problem_type = data.kind.finish(
            raw, reading=data.reading, problems=problems, notices=notices
        )
        if misread := [*filter(_ANOTHER_FLAG.search, problems)]:
            raise UserError(capped(misread), total=len(misread))
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
            data.findings += unreadable_rows(split, of_split)
        if not all(split.examples for split in data.splits.values()):
            raise UserError(capped(problems), total=len(problems))
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
