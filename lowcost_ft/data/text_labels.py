"""Labels of text classification: which problem they pose, and whether the splits agree."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lowcost_ft.config.reading import PROBLEM_TYPES
from lowcost_ft.data.rows import counted, file_of, shown
from lowcost_ft.data.text_examples import Label, TextExample, label_name

__all__ = ["SINGLE_LABEL", "classes", "finish"]

SINGLE_LABEL, MULTI_LABEL = "single_label_classification", "multi_label_classification"
REGRESSION = "regression"

REGRESSION_LABELS = ["value"]
"""Name of the one output of a regression."""

LABEL_SEPARATOR = "|"
"""Between the labels of a multi-label row in a file that cannot hold lists."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LARGEST_NUMBER = 3e38
_MISSING_WORDS = frozenset({"nan", "na", "n/a", "null", "none"})


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
        return converted, [], problem_type
    if problem_type == REGRESSION:
        return converted, list(REGRESSION_LABELS), problem_type
    names = frozenset[str]().union(*map(classes, train))
    # Python turns no more than some thousand digits into a number.
    numeric = all(name.isascii() and name.isdecimal() and len(name) < 100 for name in names)
    ordered = sorted(names, key=(lambda name: (int(name), name)) if numeric else None)
    _check_known(converted, ordered, "not in the training data", problems)
    for examples in converted.values():
        if problem_type == SINGLE_LABEL and examples and len(examples) < len(names):
            problems.append(
                f"{file_of(examples[0].source)}: {counted(len(examples), 'row')} for "
                f"{len(names)} classes; every class needs one, so add rows"
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
        parts = label.split(LABEL_SEPARATOR) if isinstance(label, str) else [label_name(label)]
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
        if abs(number) > _LARGEST_NUMBER:
            problems.append(
                f"{example.source}: label {shown(label)} is larger than 32 bits can hold; scale "
                f"the numbers"
            )
        new = number
    else:
        new = label_name(label)
    return replace(example, label=new)


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
