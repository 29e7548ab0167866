"""Files, data sets, rows in Python or the sample -> checked splits, or every problem at once."""

import hashlib
import json
import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lowcost_ft.config.arguments import path_problem
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.answers import accepted_rows
from lowcost_ft.data.exports.reading import read_export
from lowcost_ft.data.known_labels import look_alikes
from lowcost_ft.data.python_rows import Rows, read_python_rows
from lowcost_ft.data.readers import read_dataset, read_rows
from lowcost_ft.data.rows import Row
from lowcost_ft.data.validation_cut import cut_validation
from lowcost_ft.errors import UserError
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.problems import argument_problems, capped, python_problems

__all__ = ["Splits", "load_splits"]


@dataclass(frozen=True, kw_only=True)
class Splits:
    """What a run trains and is scored on.

    Attributes:
        train: Training examples.
        validation: Examples that early stopping and choices go by; empty where all rows train.
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
    with_test: bool = True,
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
        validation_share: Share of the training examples to cut off, below 1; 0: there is no
            validation split.
        seed: Seed of the cut.
        with_test: Whether test rows are read; False leaves those of a data set out.

    Raises:
        UserError: Every problem in all of the files, each with its place and how to mend it.
    """
    kind = task_class(task)
    problems: list[str] = []
    notices: list[str] = []
    reading = reading or ReadingOptions()
    problems += argument_problems(task, reading, dataset, dataset_config_name)
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
    problems += python_problems(rows, bool(given) or dataset is not None)
    if problems:
        raise UserError(problems)

    found: dict[str, list[Row]] = {}
    if rows:
        found = {split: read_python_rows(data, split, problems) for split, data in rows.items()}
        found = {
            split: read_export(given, reading, labelled=True, problems=problems, notices=notices)
            for split, given in found.items()
        }
    elif dataset is not None:
        found = read_dataset(os.fspath(dataset), dataset_config_name, problems, notices)
        if test_file is not None and found.pop("test", []):
            notices.append(f"{test_file} is read instead of the test split of {dataset}")
    elif not given:
        found = _sample(kind)
        notices.append("no data given: the embedded sample is used")
        reading = kind.sample_reading(reading)
    if not with_test:
        found.pop("test", None)
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
        raise UserError(capped(problems), total=len(problems))
    splits, labels, decided = kind.finish(
        raw,
        reading=reading,
        problems=problems,
        notices=notices,
    )
    if not problems:
        notices += look_alikes(splits, kind.classes)
    if "validation" not in found and not validation_share and not problems:
        notices.append("no validation split: all rows train, and the last epoch's weights are kept")
    elif "validation" not in found and not problems:
        group_of, title = _groups(kind, splits["train"], notices)
        train, validation = cut_validation(
            splits["train"],
            classes_of=kind.classes,
            group_of=group_of,
            group_title=title,
            share=validation_share,
            every_class=kind.every_class(decided),
            seed=seed,
            problems=problems,
            notices=notices,
        )
        splits |= {"train": train, "validation": validation}
    if problems:
        raise UserError(capped(problems), total=len(problems))
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


def _sample(kind: type[Task]) -> dict[str, list[Row]]:
    return {
        split: [Row(values, f"sample/{split}:row {i}") for i, values in enumerate(rows, 1)]
        for split, rows in kind.sample_rows().items()
    }


def _groups(
    kind: type[Task], examples: list[Any], notices: list[str]
) -> tuple[Callable[[Any], Hashable], str]:
    """What keeps rows on one side of a cut: their text or article, if there is more than one."""
    group_of = kind.grouping(examples)
    if len(examples) < 2 or len({group_of(example) for example in examples}) > 1:
        return group_of, kind.group_title
    inputs = len({kind.input_of(example) for example in examples})
    if inputs > 1:
        notices.append(
            f"all {inputs:,} inputs are about one {kind.group_title}, so the validation split is "
            f"about it, too: its score is too high for another {kind.group_title}"
        )
    return kind.input_of, "input"


def _repeated(kind: type[Task], splits: Mapping[str, list[Any]]) -> Iterable[str]:
    # Hashes, since long dialogues have many inputs, each as long as a dialogue.
    train = {hash(known) for example in splits["train"] for known in kind.learned_inputs(example)}
    for split in ("validation", "test"):
        count = sum(hash(kind.input_of(example)) in train for example in splits[split])
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
