"""Files, data sets, rows in Python or the sample -> checked splits, or every problem at once."""

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from lowcost_ft.config.arguments import path_problem, to_path
from lowcost_ft.config.reading import ENTITY_OFFSETS, PROBLEM_TYPES, ReadingOptions, label_conflicts
from lowcost_ft.config.tasks import task_settings, unusable_settings
from lowcost_ft.data.answers import accepted_rows
from lowcost_ft.data.file_kinds import FORMATS
from lowcost_ft.data.known_labels import look_alikes
from lowcost_ft.data.python_rows import Rows, read_python_rows
from lowcost_ft.data.readers import read_dataset, read_lines, read_rows
from lowcost_ft.data.rows import Row, column_names
from lowcost_ft.data.validation_cut import cut_validation
from lowcost_ft.errors import UserError
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Task

__all__ = ["Splits", "line_examples", "load_splits", "read_examples"]
__all__ += ["read_examples_file", "read_text_lines"]

_COLUMN_FIELDS = [f.name for f in fields(ReadingOptions) if f.name.endswith("_column")]
_SHOWN_OF_A_KIND = 5
_DEFAULTS = ReadingOptions()


@dataclass(frozen=True, kw_only=True)
class Splits:
    """What a run trains and is scored on.

    Attributes:
        train: Training examples.
        validation: Examples that early stopping and choices go by.
        test: Examples of the final score, or None.
        labels: Names of the model's outputs, in their order.
        problem_type: What transformers calls the problem; None for NER.
        notices: What the user should know: cuts, conversions, guesses.
        fingerprint: SHA-256 over the contents of all examples, whatever kind of file they were in.
    """

    train: list[Any]
    validation: list[Any]
    test: list[Any] | None
    labels: list[str]
    problem_type: str | None
    notices: list[str]
    fingerprint: str


def load_splits(
    task: str,
    *,
    train_file: str | None = None,
    validation_file: str | None = None,
    test_file: str | None = None,
    dataset: str | None = None,
    dataset_config_name: str | None = None,
    rows: Mapping[str, Rows] | None = None,
    reading: ReadingOptions | None = None,
    validation_share: float = 0.1,
    seed: int = 0,
) -> Splits:
    """Reads, converts and checks all splits.

    Args:
        task: Name of a task.
        train_file: Training file. Without it and `dataset`, the embedded sample is read.
        validation_file: Without one, a part of the training examples is cut off.
        test_file: Test file; beside `dataset`, it replaces the data set's own test split.
        dataset: Folder written by `datasets.save_to_disk`, or name of a Hub data set.
        dataset_config_name: Configuration of a Hub data set.
        rows: Data that is in Python already, by split ("train", "validation", "test"), in place of
            files and data sets.
        reading: How the files are read; None: all is guessed.
        validation_share: Share of the training examples to cut off, above 0 and below 1.
        seed: Seed of the cut.

    Raises:
        UserError: Every problem in all of the files, each with its place and how to mend it.
    """
    kind = task_class(task)
    problems: list[str] = []
    notices: list[str] = []
    reading = reading or ReadingOptions()
    problems += _argument_problems(task, reading, dataset, dataset_config_name)
    files = {"train": train_file, "validation": validation_file, "test": test_file}
    named = {f"{split}_file": path for split, path in files.items()} | {"dataset": dataset}
    for name, path in named.items():
        if path is not None and (problem := path_problem(path, name)):
            problems.append(problem)
    if problems:
        raise UserError(problems)
    given = {split: os.fspath(path) for split, path in files.items() if path is not None}
    if dataset is not None and (train_file is not None or validation_file is not None):
        problems.append("--dataset and --train-file/--validation-file exclude each other")
    if given and dataset is None and train_file is None:
        problems.append("--validation-file and --test-file need a --train-file beside them")
    if not given:
        problems += [
            f"{flag} is for files; give one with --train-file, or leave it out"
            for flag, is_given in (
                ("--format", reading.format != "auto"),
                ("--no-csv-quotes", not reading.csv_quotes),
            )
            if is_given
        ]
    problems += _python_problems(rows, bool(given) or dataset is not None)
    if problems:
        raise UserError(problems)

    found: dict[str, list[Row]] = {}
    if rows:
        found = {split: read_python_rows(data, split, problems) for split, data in rows.items()}
    elif dataset is not None:
        found = read_dataset(os.fspath(dataset), dataset_config_name, problems, notices)
        if test_file is not None and found.pop("test", []):
            notices.append(f"{test_file} is read instead of the test split of {dataset}")
    elif not given:
        found = _sample(kind)
        notices.append("no data given: the embedded sample is used")
        reading = kind.sample_reading(reading)
    for split, path in given.items():
        found[split] = read_rows(path, problems, notices, reading, words=kind.reads_words)
    found = {
        split: accepted_rows(rows_of, reading, problems=problems, notices=notices)
        for split, rows_of in found.items()
    }

    raw = {
        split: kind.read(found.get(split, []), reading, problems=problems, notices=notices)
        for split in ("train", "validation", "test")
    }
    # Compared with gaps in them, splits would show problems that they do not have.
    if problems:
        raise UserError(_capped(problems), total=len(problems))
    splits, labels, decided = kind.finish(
        raw,
        reading=reading,
        problems=problems,
        notices=notices,
    )
    if not problems:
        notices += look_alikes(splits, kind.classes)
    if "validation" not in found and not problems:
        train, validation = cut_validation(
            splits["train"],
            classes_of=kind.classes,
            input_of=kind.input_of,
            share=validation_share,
            every_class=kind.every_class(decided),
            seed=seed,
            problems=problems,
            notices=notices,
        )
        splits |= {"train": train, "validation": validation}
    if problems:
        raise UserError(_capped(problems), total=len(problems))
    if "test" not in found:
        notices.append("no test split: the run ends without test scores")
    notices += _repeated(kind, splits)
    return Splits(
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"] if "test" in found else None,
        labels=labels,
        problem_type=decided,
        notices=notices,
        fingerprint=_fingerprint(kind, splits),
    )


def read_examples_file(
    task: str,
    path: str,
    *,
    reading: ReadingOptions | None = None,
    usual: ReadingOptions | None = None,
    labelled: bool,
    labels: Sequence[str] | None = None,
    notices: list[str] | None = None,
) -> list[Any]:
    """Examples of one file, for a model that is already trained.

    Args:
        task: Name of a task.
        path: A file of any kind that `read_rows` reads.
        reading: How the file is read; None: all is guessed.
        usual: How the model's training data was read: its columns are taken instead of a guess
            where the file has them.
        labelled: Whether to read labels; if not, the examples' tags or labels are None.
        labels: Labels of the trained model; needed when `labelled`, as is `problem_type` in
            `reading` for text classification.
        notices: Gets a line for what the user should know; None: those are not wanted.

    Raises:
        UserError: Every problem in the file.
    """
    kind = task_class(task)
    problems: list[str] = []
    notices = [] if notices is None else notices
    reading = reading or ReadingOptions()
    problems += _argument_problems(task, reading, None, None)
    if problems:
        raise UserError(problems)
    rows = read_rows(
        to_path(path, "path"),
        problems,
        notices,
        reading,
        usual=usual,
        labelled=labelled,
        words=kind.reads_words,
    )
    if labelled:
        rows = accepted_rows(rows, reading, problems=problems, notices=notices)
    elif rows and rows[0].is_line:
        examples = line_examples(task, rows, problems)
        if problems:
            raise UserError(_capped(problems), total=len(problems))
        return examples
    if usual is not None:
        reading = _with_usual(reading, usual, column_names(rows))
    examples = kind.read(rows, reading, problems=problems, notices=notices, labelled=labelled)
    if labelled and examples:
        assert labels is not None, "labelled examples are read for the labels of a model"
        splits, _, _ = kind.finish(
            {"test": examples},
            reading=reading,
            labels=labels,
            problems=problems,
            notices=notices,
        )
        if not problems:
            notices += look_alikes(splits, kind.classes)
        examples = splits["test"]
    if problems:
        raise UserError(_capped(problems), total=len(problems))
    return examples


def read_examples(
    task: str, rows: Rows, split: str, *, reading: ReadingOptions, labels: Sequence[str]
) -> list[Any]:
    """Labelled examples of rows in Python, for a model that is already trained.

    Args:
        task: Name of a task.
        rows: The rows.
        split: What messages call them.
        reading: How they are read.
        labels: Labels of the trained model.

    Raises:
        UserError: Every problem in the rows.
    """
    kind, problems = task_class(task), list[str]()
    read = read_python_rows(rows, split, problems)
    examples = kind.read(read, reading, problems=problems, notices=[])
    splits = {split: examples}
    if examples and not problems:
        splits, _, _ = kind.finish(
            splits, reading=reading, labels=labels, problems=problems, notices=[]
        )
    if problems:
        raise UserError(_capped(problems), total=len(problems))
    return splits[split]


def read_text_lines(task: str, name: str, data: bytes) -> list[Any]:
    """Unlabelled examples of texts that come one a line, for a model that is already trained.

    Args:
        task: Name of a task.
        name: What to call the source in messages, such as "standard input".
        data: The bytes.

    Returns:
        An example for each line; that of a blank line has no text.

    Raises:
        UserError: Every line that is not a text, by its number.
    """
    problems: list[str] = []
    examples = line_examples(task, read_lines(name, data, problems), problems)
    if problems:
        raise UserError(_capped(problems), total=len(problems))
    return examples


def line_examples(task: str, rows: Sequence[Row], problems: list[str]) -> list[Any]:
    """Unlabelled examples of rows `{"text": ...}` that were lines of a file.

    A blank line becomes an example without text, so that line and answer have one number.
    """
    kind = task_class(task)
    filled = [row for row in rows if row.values["text"].strip()]
    reading = ReadingOptions(text_column="text")
    read = iter(kind.read(filled, reading, problems=problems, notices=[], labelled=False))
    if problems:
        return []
    return [next(read) if row.values["text"].strip() else kind.blank(row) for row in rows]


def _with_usual(
    given: ReadingOptions, usual: ReadingOptions, names: Sequence[str]
) -> ReadingOptions:
    chosen = {name: getattr(given, name) for name in _COLUMN_FIELDS}
    for name in chosen:
        # Words and a text exclude each other.
        other = {"text_column": "tokens_column", "tokens_column": "text_column"}.get(name)
        taken = chosen[name] is not None or (other is not None and chosen[other] is not None)
        if not taken and getattr(usual, name) in names:
            chosen[name] = getattr(usual, name)
    return replace(given, **chosen, **_usual_labels(given, usual, names))


def _usual_labels(
    given: ReadingOptions, usual: ReadingOptions, names: Sequence[str]
) -> dict[str, Any]:
    """How labels are written, as training read them where nothing else is given."""
    fields_ = ("label_names", "label_separator", "decimal_comma", "exclude_label")
    chosen = {name: getattr(given, name) or getattr(usual, name) for name in fields_}
    columns = usual.label_columns
    if columns is not None and given.label_columns is None and given.label_column is None:
        wanted = [name.strip() for name in columns.split(",") if name.strip()]
        chosen |= {"label_columns": columns} if set(wanted) <= set(names) else {}
    return chosen


def _argument_problems(
    task: str,
    reading: ReadingOptions,
    dataset: str | None,
    dataset_config_name: str | None,
) -> list[str]:
    title, problems = task_settings(task).title, []
    for name, owners in unusable_settings(task).items():
        if getattr(reading, name, None) != getattr(_DEFAULTS, name, None):
            problems.append(f"--{name.replace('_', '-')} is for {owners}, not for {title}")
    if reading.text_column is not None and reading.tokens_column is not None:
        problems.append("--text-column and --tokens-column exclude each other")
    problems += label_conflicts(reading)
    problem_type = reading.problem_type
    if problem_type is not None and problem_type not in PROBLEM_TYPES:
        known = ", ".join(PROBLEM_TYPES)
        problems.append(f"--problem-type {problem_type} is unknown; known: {known}")
    if reading.format not in ("auto", *FORMATS):
        known = ", ".join(("auto", *FORMATS))
        problems.append(f"--format {reading.format} is unknown; known: {known}")
    if reading.entity_offsets not in ENTITY_OFFSETS:
        known = ", ".join(ENTITY_OFFSETS)
        problems.append(f"--entity-offsets {reading.entity_offsets} is unknown; known: {known}")
    if dataset_config_name is not None and dataset is None:
        problems.append("--dataset-config-name goes with --dataset")
    return problems


def _python_problems(rows: Mapping[str, Rows] | None, files: bool) -> list[str]:
    if not rows:
        return []
    problems = []
    if files:
        problems.append(
            "data in Python and --train-file, --test-file, --dataset exclude each other"
        )
    if "train" not in rows:
        problems.append("train: give training rows beside those of validation and test")
    known = ("train", "validation", "test")
    return problems + [
        f"{split}: unknown split; known: {', '.join(known)}" for split in rows if split not in known
    ]


def _sample(kind: type[Task]) -> dict[str, list[Row]]:
    return {
        split: [Row(values, f"sample/{split}:row {i}") for i, values in enumerate(rows, 1)]
        for split, rows in kind.sample_rows().items()
    }


def _repeated(kind: type[Task], splits: Mapping[str, list[Any]]) -> Iterable[str]:
    train = {kind.input_of(example) for example in splits["train"]}
    for split in ("validation", "test"):
        count = sum(kind.input_of(example) in train for example in splits[split])
        if count:
            yield (
                f"{count} of the {len(splits[split])} {split} inputs also occur in training, "
                f"which makes its score look better than it is"
            )


def _fingerprint(kind: type[Task], splits: Mapping[str, list[Any]]) -> str:
    digest = hashlib.sha256()
    for split in ("train", "validation", "test"):
        for example in splits[split]:
            truth = kind.truth_of(example)
            digest.update(json.dumps([split, kind.input_of(example), truth]).encode() + b"\n")
    return digest.hexdigest()


def _capped(problems: Sequence[str]) -> list[str]:
    """At most a few problems of a kind; kinds differ in more than numbers and quoted text."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        kinds[re.sub(r'"(?:[^"\\]|\\.)*"|\d+', "#", problem)].append(problem)
    capped = []
    for alike in kinds.values():
        capped += alike[:_SHOWN_OF_A_KIND]
        if (more := len(alike) - _SHOWN_OF_A_KIND) > 0:
            capped.append(f"and {more} more like it, the last: {alike[-1]}")
    return capped
