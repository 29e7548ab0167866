"""Labels of text classification: which problem they pose, and whether the splits agree."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lowcost_ft.config.reading import PROBLEM_TYPES, ReadingOptions
from lowcost_ft.data.known_labels import Occurrences, tell_unknown
from lowcost_ft.data.rows import counted, file_of, listed, shown
from lowcost_ft.tasks.classification.examples import Label, Scalar, TextExample, label_name
from lowcost_ft.tasks.classification.label_cells import read_cells
from lowcost_ft.tasks.classification.label_doubts import (
    label_doubts,
    missing_notice,
    separator_notice,
)

__all__ = ["SINGLE_LABEL", "classes", "finish"]

SINGLE_LABEL, MULTI_LABEL = "single_label_classification", "multi_label_classification"
REGRESSION = "regression"

_TITLES = {MULTI_LABEL: "a multi-label classification", REGRESSION: "a regression"}

REGRESSION_LABELS = ["value"]
"""Name of the one output of a regression."""

LABEL_SEPARATOR = "|"
"""Between the labels of a multi-label row in a file that cannot hold lists."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LARGEST_NUMBER = 3e38
_MISSING_WORDS = frozenset({"nan", "na", "n/a", "null", "none"})


def classes(example: TextExample) -> frozenset[str]:
    """Labels of a finished example; none for regression."""
    if isinstance(example.label, str):
        return frozenset((example.label,))
    return frozenset(map(str, example.label)) if isinstance(example.label, tuple) else frozenset()


def finish(
    splits: Mapping[str, list[TextExample]],
    *,
    reading: ReadingOptions | None = None,
    labels: Sequence[str] | None = None,
    problems: list[str],
    notices: list[str],
) -> tuple[dict[str, list[TextExample]], list[str], str]:
    """Decides what is predicted, converts the labels, and checks the splits against each other.

    Args:
        splits: Labelled examples by split, "train" among them unless `labels` is given.
        reading: How labels are written, and the problem type, one of `PROBLEM_TYPES`; None, or
            without one: chosen from the labels of all splits.
        labels: Labels of a trained model; None: those of the training split.
        problems: Gets a line for each problem.
        notices: Gets a line about the problem type that was chosen, about what was converted or
            left out, and about labels that are missing from training or from a split.

    Returns:
        The converted splits, the labels in the order of the model's outputs, and the problem
        type. Labels are in the order of `--label-names`, else sorted, as numbers if they all are
        whole numbers.
    """
    before = len(problems)
    reading = reading or ReadingOptions()
    problem_type: str | None = reading.problem_type
    known = frozenset(labels or ())
    read, names = read_cells(splits, reading, known=known, problems=problems, notices=notices)
    if len(problems) > before:
        return read, [], problem_type or SINGLE_LABEL
    everything = [example for examples in read.values() for example in examples]
    if reading.decimal_comma:
        problem_type = REGRESSION
    elif reading.label_separator is not None:
        problem_type = MULTI_LABEL
    elif problem_type in (None, MULTI_LABEL):
        unclear = [e for e in everything if e.label not in known]
        problems += label_doubts(unclear, multi_label=problem_type == MULTI_LABEL)
        if len(problems) > before:
            return read, [], problem_type or SINGLE_LABEL
    if problem_type is None:
        problem_type = _choose_problem_type(everything, problems, notices)
    elif reading.problem_type is None:
        flag = "--decimal-comma" if reading.decimal_comma else "--label-separator"
        notices.append(f"{flag} makes this {_TITLES[problem_type]}")
    assert problem_type in PROBLEM_TYPES, problem_type
    converted = {
        split: [
            _convert(example, problem_type, problems, trained=labels is not None)
            for example in examples
        ]
        for split, examples in read.items()
    }
    if len(problems) > before:
        return converted, [], problem_type
    if labels is not None:
        _compare(converted, labels, trained=True, problems=problems, notices=notices)
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
    notices += missing_notice(train)
    ordered = _ordered(frozenset[str]().union(*map(classes, train)), names)
    if unused := [name for name in names if name not in ordered]:
        notices.append(
            f"{file_of(train[0].source)}: {counted(len(unused), 'name')} of --label-names "
            f"without a row, which the model will not know: {listed(unused)}"
        )
    others = {split: examples for split, examples in converted.items() if split != "train"}
    _compare(others, ordered, trained=False, problems=problems, notices=notices)
    return converted, ordered, problem_type


def _ordered(found: frozenset[str], names: Sequence[str]) -> list[str]:
    if names:
        return [name for name in names if name in found]
    # Python turns no more than some thousand digits into a number.
    numeric = all(name.isascii() and name.isdecimal() and len(name) < 100 for name in found)
    return sorted(found, key=(lambda name: (int(name), name)) if numeric else None)


def _choose_problem_type(
    examples: Sequence[TextExample], problems: list[str], notices: list[str]
) -> str:
    lists = [example for example in examples if isinstance(example.label, tuple)]
    single = [example for example in examples if not isinstance(example.label, tuple)]
    several = [example for example in lists if len(_items(example)) != 1]
    if several and single:
        problems.append(
            f"{several[0].source} has a list of labels and {single[0].source} a single label; "
            f"make all of them lists, or none (--problem-type {MULTI_LABEL} takes a single label "
            f"for a list of one)"
        )
        return MULTI_LABEL
    if several:
        have = "has" if len(several) == 1 else "have"
        notices.append(
            f"multi-label classification, since {counted(len(several), 'row')} of "
            f"{len(lists):,} {have} no label or several, the first at {several[0].source} "
            f"(--problem-type overrides)"
        )
        return MULTI_LABEL
    notices += separator_notice(examples)
    labels = [_items(example)[0] for example in examples]
    numbers = [_number(label) for label in labels]
    fraction = next(
        (e for e, n in zip(examples, numbers, strict=True) if n is not None and n != int(n)), None
    )
    # "NA" among fractions is a missing number; among words it is a label like any other.
    if fraction is None or not all(
        number is not None or str(label).casefold() in _MISSING_WORDS
        for label, number in zip(labels, numbers, strict=True)
    ):
        if lists:
            held = "list holds" if single else "row has a list of"
            notices.append(
                f"single-label classification, since every {held} exactly one label "
                f"(--problem-type {MULTI_LABEL} overrides)"
            )
        elif numbers and all(number is not None for number in numbers):
            notices.append(
                "all labels are whole numbers and taken as classes, single-label classification "
                "(--problem-type regression predicts them as numbers)"
            )
        elif examples:
            notices.append("single-label classification (--problem-type overrides)")
        return SINGLE_LABEL
    notices.append(
        f"all labels are numbers and some not whole ({fraction.source}: {_items(fraction)[0]}): "
        f"regression (--problem-type overrides)"
    )
    return REGRESSION


def _items(example: TextExample) -> tuple[Scalar, ...]:
    label = example.label
    assert label is not None, "finish takes labelled examples"
    return label if isinstance(label, tuple) else (label,)


def _convert(
    example: TextExample, problem_type: str, problems: list[str], *, trained: bool
) -> TextExample:
    items = _items(example)
    new: Label
    if problem_type == MULTI_LABEL:
        if isinstance(example.label, str):
            items = tuple(part.strip() for part in example.label.split(LABEL_SEPARATOR))
        return replace(example, label=tuple(sorted(set(map(label_name, items)) - {""})))
    if len(items) != 1:
        what = f"{example.source}: a list of {counted(len(items), 'label')} does not fit "
        problems.append(
            f"{what}the model, which gives one label a row; keep one, or delete the row"
            if trained
            else f"{what}--problem-type {problem_type}, which needs one label a row; use "
            f"{MULTI_LABEL}"
        )
        return example
    label = items[0]
    if problem_type == REGRESSION:
        number = _number(label)
        if number is None:
            comma = isinstance(label, str) and _number(label.replace(",", ".", 1)) is not None
            fix = f"--problem-type {SINGLE_LABEL} takes it as a name"
            if comma:
                fix = "--decimal-comma reads decimal commas"
            elif trained:
                fix = "correct it, or delete the row"
            problems.append(
                f"{example.source}: label {shown(label)} is not a number; regression needs one "
                f"({fix})"
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


def _compare(
    splits: Mapping[str, list[TextExample]],
    labels: Sequence[str],
    *,
    trained: bool,
    problems: list[str],
    notices: list[str],
) -> None:
    """Says which labels of each split the model does not know, and which the split lacks."""
    for examples in splits.values():
        found = Occurrences()
        for example in examples:
            for label in sorted(classes(example)):
                found.add(label, example.source)
        tell_unknown(
            found,
            labels,
            what="label",
            trained=trained,
            problems=problems,
            notices=notices,
        )
        missing = [label for label in labels if label not in found.counts]
        if found.counts and missing:
            verb = (
                "does not occur in it and is" if len(missing) == 1 else "do not occur in it and are"
            )
            notices.append(
                f"{file_of(examples[0].source)}: {len(missing):,} of the {len(labels):,} classes "
                f"{verb} not scored there"
            )
