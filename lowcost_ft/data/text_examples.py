"""Rows -> text classification examples: one text or a pair; one label, several, or a number."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lowcost_ft.data.rows import Columns, Row, column_names, file_of, find_column, read_text, shown

__all__ = ["PROBLEM_TYPES", "TextExample", "classes", "finish", "read_examples"]

SINGLE_LABEL, MULTI_LABEL = "single_label_classification", "multi_label_classification"
REGRESSION = "regression"
PROBLEM_TYPES = (SINGLE_LABEL, MULTI_LABEL, REGRESSION)
"""As transformers names them."""

REGRESSION_LABELS = ["value"]
"""Name of the one output of a regression."""

LABEL_SEPARATOR = "|"
"""Between the labels of a multi-label row in a file that cannot hold lists."""

Label = str | int | float | tuple[str, ...]

_TEXTS = (
    *("text", "sentence", "content", "message", "utterance", "query", "question", "review"),
    *("tweet", "document", "body", "comment"),
)
_LABELS = (
    *("label", "labels", "category", "intent", "class", "target", "sentiment", "topic"),
    *("emotion", "score", "rating", "stars"),
)
_PAIRS = (
    *(("text", "text_pair"), ("sentence1", "sentence2"), ("premise", "hypothesis")),
    *(("question1", "question2"), ("text1", "text2"), ("question", "sentence")),
    *(("question", "passage"), ("query", "passage")),
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MISSING_WORDS = frozenset({"nan", "na", "n/a", "null", "none"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TextExample:
    """One text, or pair of texts.

    Attributes:
        text: The text.
        text_pair: The second text of a pair.
        label: After `finish` a str, a sorted tuple of str (multi-label) or a float (regression);
            None without labels.
        source: File and line.
    """

    text: str
    text_pair: str | None = None
    label: Label | None
    source: str


def read_examples(
    rows: Sequence[Row],
    columns: Columns,
    *,
    problems: list[str],
    notices: list[str],
    labelled: bool = True,
) -> list[TextExample]:
    """Reads one split's rows.

    Args:
        rows: Rows of one file or split.
        columns: Names of the columns, where the user gave them.
        problems: Gets a line for each problem.
        notices: Gets a line for guessed columns.
        labelled: Whether to read labels; if not, `label` is None.

    Returns:
        The examples without problems, their labels as the input has them.
    """
    if not rows:
        return []
    before = len(problems)
    text_column, pair_column = _find_texts(rows, columns, problems, notices)
    label_column = None
    if labelled:
        guesses = [name for name in _LABELS if name not in (text_column, pair_column)]
        label_column = find_column(
            rows, columns.label, guesses, "label", problems=problems, notices=notices
        )
    used = [name for name in (text_column, pair_column, label_column) if name is not None]
    if len(set(used)) < len(used):
        listed = ", ".join(map(shown, used))
        problems.append(f"{file_of(rows[0].source)}: one column is used twice: {listed}")
    if text_column is None or len(problems) > before:
        return []
    examples = []
    for row in rows:
        before = len(problems)
        text = read_text(row, text_column, problems)
        pair = None if pair_column is None else read_text(row, pair_column, problems)
        label = None if label_column is None else _read_label(row, label_column, problems)
        if text is not None and len(problems) == before:
            examples.append(TextExample(text=text, text_pair=pair, label=label, source=row.source))
    return examples


def _find_texts(
    rows: Sequence[Row], columns: Columns, problems: list[str], notices: list[str]
) -> tuple[str | None, str | None]:
    found: dict[str, Any] = {"problems": problems, "notices": notices}
    names = column_names(rows)
    if columns.text is None and columns.text_pair is None:
        for first, second in _PAIRS:
            if first in names and second in names and columns.label not in (first, second):
                notices.append(
                    f"{file_of(rows[0].source)}: pairs of texts, {shown(first)} and "
                    f"{shown(second)} (--text-column alone reads one text)"
                )
                return first, second
    taken = (columns.text_pair, columns.label)
    guesses = [name for name in _TEXTS if name not in taken]
    if columns.text_pair is not None:
        guesses = [first for first, second in _PAIRS if second == columns.text_pair] + guesses
    text_column = find_column(rows, columns.text, guesses, "text", **found)
    if columns.text_pair is None:
        return text_column, None
    return text_column, find_column(rows, columns.text_pair, (), "text_pair", **found)


def _read_label(row: Row, column: str, problems: list[str]) -> Label | None:
    value = row.values.get(column)
    where = f"{row.source}: {shown(column)}"
    if not isinstance(value, list | tuple):
        return _read_scalar(value, where, problems)
    names = [_read_scalar(item, f"{where}, item {i}", problems) for i, item in enumerate(value, 1)]
    labels = tuple(sorted({_name(name) for name in names if name is not None}))
    if len(labels) < len(names) and None not in names:
        problems.append(
            f"{where} names a label twice; list the labels that apply once each (not a vector of "
            f"0 and 1)"
        )
    return labels


def _read_scalar(value: Any, where: str, problems: list[str]) -> str | int | float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        problems.append(f"{where} is missing; give every row a label")
    elif isinstance(value, float) and not math.isfinite(value):
        problems.append(f"{where} is {value}; give every row a label")
    elif isinstance(value, bool):
        return str(value).lower()
    elif isinstance(value, int | float):
        return value
    elif isinstance(value, str):
        return value.strip()
    else:
        problems.append(
            f"{where} is {shown(value)}; a label is a text, a number or a list of texts"
        )
    return None


def classes(example: TextExample) -> frozenset[str]:
    """Labels of a finished example; none for regression."""
    if isinstance(example.label, str):
        return frozenset((example.label,))
    return frozenset(example.label) if isinstance(example.label, tuple) else frozenset()


def finish(
    splits: Mapping[str, list[TextExample]],
    *,
    problem_type: str | None = None,
    labels: Sequence[str] | None = None,
    problems: list[str],
    notices: list[str],
) -> tuple[dict[str, list[TextExample]], list[str], str]:
    """Decides what is predicted, converts the labels, and checks the splits against each other.

    Args:
        splits: Labelled examples by split, "train" among them unless `labels` is given.
        problem_type: One of `PROBLEM_TYPES`; None: chosen from the labels of all splits.
        labels: Labels of a trained model; None: those of the training split.
        problems: Gets a line for each problem.
        notices: Gets a line when regression was chosen.

    Returns:
        The converted splits, the labels in the order of the model's outputs, and the problem
        type. Labels are sorted, as numbers if they all are whole numbers.
    """
    before = len(problems)
    if problem_type is None:
        everything = [example for examples in splits.values() for example in examples]
        problem_type = _choose_problem_type(everything, problems, notices)
    assert problem_type in PROBLEM_TYPES, problem_type
    converted = {
        split: [_convert(example, problem_type, problems) for example in examples]
        for split, examples in splits.items()
    }
    if len(problems) > before:
        return converted, [], problem_type
    if labels is not None:
        _check_known(converted, labels, "not a label of the trained model", problems)
        return converted, list(labels), problem_type

    train = converted["train"]
    _check_pairs(converted, problems)
    if train and len({example.label for example in train}) == 1:
        problems.append(
            f"{file_of(train[0].source)}: one class only: every label is "
            f"{shown(train[0].label)}; training needs at least two"
        )
    if problem_type == REGRESSION:
        return converted, list(REGRESSION_LABELS), problem_type
    names = frozenset[str]().union(*map(classes, train))
    numeric = all(name.isascii() and name.isdecimal() for name in names)
    ordered = sorted(names, key=(lambda name: (int(name), name)) if numeric else None)
    _check_known(converted, ordered, "not in the training data", problems)
    for examples in converted.values():
        if problem_type == SINGLE_LABEL and examples and len(examples) < len(names):
            problems.append(
                f"{file_of(examples[0].source)}: {len(examples)} row(s) are fewer than the "
                f"{len(names)} classes; add rows"
            )
    return converted, ordered, problem_type


def _choose_problem_type(
    examples: Sequence[TextExample], problems: list[str], notices: list[str]
) -> str:
    lists = [example for example in examples if isinstance(example.label, tuple)]
    single = [example for example in examples if not isinstance(example.label, tuple)]
    if lists and single:
        problems.append(
            f"{lists[0].source} has a list of labels and {single[0].source} a single label; "
            f"make all of them lists, or none"
        )
    if lists:
        return MULTI_LABEL
    numbers = [_number(example.label) for example in single]
    fraction = next(
        (e for e, n in zip(single, numbers, strict=True) if n is not None and n != int(n)), None
    )
    # "NA" among fractions is a missing number; among words it is a label like any other.
    if fraction is None or not all(
        number is not None or str(example.label).casefold() in _MISSING_WORDS
        for example, number in zip(single, numbers, strict=True)
    ):
        if all(number is not None for number in numbers):
            notices.append(
                "all labels are whole numbers and taken as classes (--problem-type regression "
                "predicts them as numbers)"
            )
        return SINGLE_LABEL
    notices.append(
        f"all labels are numbers and some not whole ({fraction.source}: {fraction.label}): "
        f"regression (--problem-type overrides)"
    )
    return REGRESSION


def _convert(example: TextExample, problem_type: str, problems: list[str]) -> TextExample:
    label = example.label
    assert label is not None, "finish takes labelled examples"
    new: Label
    if problem_type == MULTI_LABEL:
        if isinstance(label, tuple):
            return example
        parts = label.split(LABEL_SEPARATOR) if isinstance(label, str) else [_name(label)]
        new = tuple(sorted({part.strip() for part in parts} - {""}))
    elif isinstance(label, tuple):
        problems.append(
            f"{example.source}: a list of labels does not go with --problem-type {problem_type}; "
            f"use {MULTI_LABEL}"
        )
        return example
    elif problem_type == REGRESSION:
        number = _number(label)
        if number is None:
            problems.append(
                f"{example.source}: label {shown(label)} is no number; regression needs one "
                f"(--problem-type {SINGLE_LABEL} takes it as a name)"
            )
            return example
        new = number
    else:
        new = _name(label)
    return replace(example, label=new)


def _name(label: str | int | float) -> str:
    if isinstance(label, float) and label.is_integer():
        return str(int(label))  # a table's column of whole numbers with gaps comes as floats
    return str(label)


def _number(label: Label | None) -> float | None:
    if isinstance(label, str) and not _NUMBER.fullmatch(label):
        return None
    if label is None or isinstance(label, tuple):
        return None
    try:
        number = float(label)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _check_pairs(splits: Mapping[str, list[TextExample]], problems: list[str]) -> None:
    paired = {s: examples[0].text_pair is not None for s, examples in splits.items() if examples}
    for split, pairs in paired.items():
        if pairs != paired.get("train", pairs):
            what = ("single texts", "pairs of texts")
            problems.append(
                f"{file_of(splits[split][0].source)}: {what[pairs]}, but the training data has "
                f"{what[not pairs]}; name the columns with --text-column and --text-pair-column"
            )


def _check_known(
    splits: Mapping[str, list[TextExample]], labels: Sequence[str], fault: str, problems: list[str]
) -> None:
    known = set(labels)
    for examples in splits.values():
        first: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for example in examples:
            for label in sorted(classes(example) - known):
                counts[label] += 1
                first.setdefault(label, example.source)
        problems += [
            f"{first[label]}: the label {shown(label)} ({count} in this split) is {fault}; "
            f"add rows to the training data or correct it"
            for label, count in counts.items()
        ]
