"""Label cells that can mean several things: each is a problem that names the flags to choose by."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from lowcost_ft.data.rows import counted, listed, shown
from lowcost_ft.tasks.classification.examples import TextExample, label_name

__all__ = ["label_doubts", "missing_notice", "separator_notice"]

# A text matches in one way at most, or a long one that does not match would take minutes.
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:(?:\s*[;,|]\s*|\s+){_NUMBER})+", re.ASCII)
_COMMA_NUMBERS = re.compile(r"[+-]?\d+(?:\s*,\s*[+-]?\d+)+", re.ASCII)
_ONE_COMMA = re.compile(r"[+-]?\d+(?:,\d+)?", re.ASCII)
_NAMES = "--problem-type single_label_classification (a name)"
_CLEAR_SEPARATORS, _OTHER_SEPARATORS = (";", "|"), (",", "/", "+", "#")
"""Names seldom hold the first; the others also stand in names such as `Toys, Games`. doccano writes
the last into its tables."""
_NO_LABEL = {"nan", "<na>", "nat", "null", "n/a", "#n/a"}
"""How programs write a missing value as text; "None" and "NA" are often classes."""


def label_doubts(examples: Sequence[TextExample], *, multi_label: bool) -> list[str]:
    """A line for each kind of cell that may mean several things.

    Args:
        examples: Those of all splits, lists written as text read as lists.
        multi_label: Whether the user said that the problem is multi-label; else nothing was said.
    """
    if doubt := _soft_labels(examples):
        return [doubt]
    cells = Counter(e.label for e in examples if isinstance(e.label, str))
    first: dict[str, str] = {}
    for example in examples:
        if isinstance(example.label, str):
            first.setdefault(example.label, example.source)

    def told(doubtful: Sequence[str], may_be: str, choices: Sequence[str]) -> str:
        more = sum(cells[cell] for cell in doubtful) - 1
        like_it = f" (and {more:,} more like it)" if more else ""
        ways = " or ".join([", ".join(choices[:-1]), choices[-1]] if choices[1:] else choices)
        return (
            f"{first[doubtful[0]]}: the label {shown(doubtful[0])}{like_it} may be {may_be}; say "
            f"which with {ways}"
        )

    if multi_label and any("|" in cell for cell in cells):
        return []  # It is the separator, unless another one is given.
    if commas := [cell for cell in cells if _COMMA_NUMBERS.fullmatch(cell)]:
        splits = '--label-separator "," (several labels)'
        if multi_label:
            return [told(commas, "several labels or one", [splits, '--label-separator "|" (one)'])]
        decimal = all(
            not isinstance(e.label, str) or _ONE_COMMA.fullmatch(e.label) for e in examples
        )
        if decimal and len(cells):
            number = "--decimal-comma (a number to predict)"
            may_be = "a number with a decimal comma, several labels, or one name"
            return [told(commas, may_be, [number, splits, _NAMES])]
        return [told(commas, "several labels or one name", [splits, _NAMES])]
    for separator in (*_CLEAR_SEPARATORS, *_OTHER_SEPARATORS):
        if doubtful := _lists(cells, separator, multi_label=multi_label):
            one = '--label-separator "|" (one)' if multi_label else _NAMES
            choices = [f'--label-separator "{separator}" (several labels)', one]
            return [told(doubtful, "several labels or one name", choices)]
    if not multi_label and (marked := _unknown_class(examples)):
        count = sum("-1" in _names(e) for e in examples)
        return [
            f'{marked.source}: the label "-1" ({count:,} in all) may stand for an unknown one or '
            f"be a class of its own; leave its rows out with --exclude-label=-1, or keep it with "
            f"--problem-type "
            + ("multi" if isinstance(marked.label, tuple) else "single")
            + "_label_classification"
        ]
    return []


def separator_notice(examples: Sequence[TextExample]) -> list[str]:
    """A line where names hold what could separate them, though nothing else suggests a list."""
    for separator in _CLEAR_SEPARATORS:
        held = [
            e for e in examples if isinstance(e.label, str) and len(_parts(e.label, separator)) > 1
        ]
        if held:
            return [
                f'labels such as {shown(held[0].label)} ({held[0].source}) hold "{separator}" and '
                f'are taken as one name each (--label-separator "{separator}" splits them)'
            ]
    return []


def missing_notice(examples: Sequence[TextExample]) -> list[str]:
    """A line where a class is named like a missing value."""
    found = [e for e in examples if str(e.label).strip().casefold() in _NO_LABEL]
    if not found:
        return []
    names = list(dict.fromkeys(str(e.label) for e in found))
    rows = f"{counted(len(found), 'row')}, first {found[0].source}"
    if len(names) > 1:
        return [
            f"the labels {listed(names)} ({rows}) may stand for no label; each is taken as a class "
            f"(empty these cells, and --exclude-label '' leaves the rows out)"
        ]
    name = names[0]
    return [
        f"the label {shown(name)} ({rows}) may stand for no label; it is taken as a class "
        f"(--exclude-label {shlex.quote(name)} leaves it out)"
    ]


def _soft_labels(examples: Iterable[TextExample]) -> str | None:
    soft = [e for e in examples if _is_soft(e.label)]
    if not soft:
        return None
    return (
        f"{soft[0].source}: the label {shown(soft[0].label)} ({len(soft):,} in all) is a list of "
        f"scores (soft labels), which cannot be trained on; write the label, or the list of labels "
        f"that apply"
    )


def _is_soft(label: object) -> bool:
    if isinstance(label, tuple):
        return len(label) > 1 and any(isinstance(v, float) and not v.is_integer() for v in label)
    if not isinstance(label, str) or not _NUMBERS.fullmatch(label) or _ONE_COMMA.fullmatch(label):
        return False
    found = [float(number) for number in re.findall(_NUMBER, label)]
    return len(found) > 1 and not all(number.is_integer() for number in found)


def _lists(cells: Counter[str], separator: str, *, multi_label: bool) -> list[str]:
    """Cells that look like several labels, since their parts also stand elsewhere."""
    where: dict[str, set[str]] = {}
    for cell in cells:
        for part in _parts(cell, separator):
            where.setdefault(part, set()).add(cell)
    enough = any if multi_label or separator in _CLEAR_SEPARATORS else all
    return [
        cell
        for cell in cells
        if len(parts := _parts(cell, separator)) > 1
        and (
            enough(len(where[part]) > 1 for part in parts)
            or (separator in _CLEAR_SEPARATORS and (multi_label or _NUMBERS.fullmatch(cell)))
        )
    ]


def _parts(cell: str, separator: str) -> list[str]:
    return [part.strip() for part in cell.split(separator) if part.strip()]


def _names(example: TextExample) -> tuple[str, ...]:
    label = example.label
    if label is None:
        return ()
    return tuple(map(label_name, label if isinstance(label, tuple) else (label,)))


def _unknown_class(examples: Sequence[TextExample]) -> TextExample | None:
    """The first row with -1, unless the other labels tell that it is a class or a number."""
    others = frozenset(name for example in examples for name in _names(example)) - {"-1"}
    if others <= {"0", "1"} or any(
        re.fullmatch(r"-\d+", name) or (re.fullmatch(_NUMBER, name) and not name.isdecimal())
        for name in others
    ):
        return None
    return next((example for example in examples if "-1" in _names(example)), None)
