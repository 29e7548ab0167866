"""What stands in the cells of a label column: a label, a number, or a list in one of its spellings.

Cells are converted where they can mean one thing only, or where a flag says what they mean. What
else they could mean is asked for by `label_doubts.py`.
"""

import ast
import json
import math
import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.label_names import read_label_names
from lowcost_ft.data.rows import counted, file_of, listed, shown
from lowcost_ft.tasks.classification.examples import Label, Scalar, TextExample, label_name

__all__ = ["read_cells", "written_list"]

_LONGEST_LIST = 100_000
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_QUOTED_WITHOUT_COMMAS = re.compile(rf"\[\s*{_QUOTED}(?:\s+{_QUOTED})+\s*\]")
_NUMBERS_WITHOUT_COMMAS = re.compile(r"\[\s*[-+.\deE]*\d[-+.\deE]*(?:\s+[-+.\deE]*\d[.\d]*)+\s*\]")
"""Both are how NumPy prints an array."""
_BARE_ITEMS = re.compile(r"\[\s*[^\[\],'\"]+(?:,[^\[\],'\"]+)+\]")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,15}(\.0*)?", re.ASCII)


def read_cells(
    splits: Mapping[str, list[TextExample]],
    reading: ReadingOptions,
    *,
    known: Collection[str] = (),
    problems: list[str],
    notices: list[str],
) -> tuple[dict[str, list[TextExample]], list[str]]:
    """Reads lists that are written as text, and does what the flags about labels say.

    Args:
        splits: Labelled examples by split, their labels as the input has them.
        reading: The flags.
        known: Labels of a trained model: a text that is one of them stays as it is.
        problems: Gets a line for each problem.
        notices: Gets a line for what was converted or left out.

    Returns:
        The splits, and the names of `--label-names` (none without it).
    """
    names: list[str] = []
    if reading.label_names is not None:
        names = read_label_names(reading.label_names, problems)
    excluded = None if reading.exclude_label is None else reading.exclude_label.strip()
    if excluded == "":
        splits = _without(splits, excluded, names, problems, notices)
    found = _read_lists(splits, known, problems, notices)
    if reading.label_separator is not None:
        for split, examples in found.items():
            found[split] = [_separated(e, reading.label_separator) for e in examples]
    found = _read_vectors(found, names, notices)
    if excluded:
        found = _without(found, excluded, names, problems, notices)
    for split, examples in found.items():
        _check_repeats(examples, problems)
        if reading.decimal_comma:
            found[split] = [_with_decimal_comma(example, problems) for example in examples]
        if names:
            found[split] = [_named(example, names, problems) for example in examples]
    return found, names


def written_list(text: str) -> tuple[Any, ...] | dict[Any, Any] | None:
    """The list that a text spells, as Python, JSON or NumPy do; None for any other text.

    A dictionary, which no label is, is returned as one.
    """
    if text[:1] + text[-1:] not in ("[]", "()", "{}") or len(text) > _LONGEST_LIST:
        return None
    if _QUOTED_WITHOUT_COMMAS.fullmatch(text):  # Python would join these texts.
        return tuple(ast.literal_eval(item) for item in re.findall(_QUOTED, text))
    if _NUMBERS_WITHOUT_COMMAS.fullmatch(text):
        text = "[" + ",".join(text[1:-1].split()) + "]"
    value: Any = None
    for read in (json.loads, _literal):
        try:
            value = read(text)
            break
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    if isinstance(value, dict):
        return value
    if isinstance(value, set):
        value = sorted(value, key=str)
    if isinstance(value, list | tuple):
        return None if any(isinstance(v, list | tuple | dict | set) for v in value) else (*value,)
    if _BARE_ITEMS.fullmatch(text):
        return tuple(item.strip() for item in text[1:-1].split(","))
    return None


def _literal(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of backslashes that Python does not know
        return ast.literal_eval(text)


def _read_lists(
    splits: Mapping[str, list[TextExample]],
    known: Collection[str],
    problems: list[str],
    notices: list[str],
) -> dict[str, list[TextExample]]:
    written: list[TextExample] = []
    found: dict[str, list[TextExample]] = {}
    for split, examples in splits.items():
        found[split] = []
        for example in examples:
            label = example.label
            value = None
            if isinstance(label, str) and label not in known:
                value = written_list(label)
            if isinstance(value, dict):
                problems.append(
                    f"{example.source}: the label {shown(label)} is a dictionary; write the label, "
                    f"or the list of labels that apply"
                )
            elif value is not None:
                written.append(example)
                example = replace(example, label=_items(value, example.source, problems))
            found[split].append(example)
    if not written:
        return found
    notices.append(
        f"{counted(len(written), 'label')} such as {shown(written[0].label)} ({written[0].source}) "
        f"are lists written as text, and are read as lists"
    )
    # Beside those, [one] is a list of one, too.
    return {
        split: [
            replace(example, label=(example.label[1:-1].strip(),))
            if isinstance(example.label, str)
            and example.label not in known
            and re.fullmatch(r"\[[^\[\]]*[^\[\]\s][^\[\]]*\]", example.label)
            else example
            for example in examples
        ]
        for split, examples in found.items()
    }


def _items(value: Iterable[Any], source: str, problems: list[str]) -> tuple[Scalar, ...]:
    items: list[Scalar] = []
    for item in value:
        if isinstance(item, bool):
            items.append(str(item).lower())
        elif isinstance(item, str) and item.strip():
            items.append(item.strip())
        elif isinstance(item, int | float) and math.isfinite(item):
            items.append(item)
        else:
            problems.append(f"{source}: the list of labels holds {shown(item)}; correct it")
    return tuple(items)


def _separated(example: TextExample, separator: str) -> TextExample:
    label = example.label
    if isinstance(label, tuple):
        return example
    parts: Iterable[Scalar] = [label] if label is not None else []
    if isinstance(label, str):
        parts = dict.fromkeys(part.strip() for part in label.split(separator) if part.strip())
    return replace(example, label=tuple(parts))


def _read_vectors(
    splits: dict[str, list[TextExample]], names: Sequence[str], notices: list[str]
) -> dict[str, list[TextExample]]:
    """Lists with a 0 or 1 for each of the names become the names at the ones."""
    labels = [e.label for examples in splits.values() for e in examples]
    if not names or not all(
        isinstance(label, tuple) and len(label) == len(names) and set(map(_digit, label)) <= {0, 1}
        for label in labels
    ):
        return splits
    # The numbers 0 and 1 themselves may be meant, unless a list repeats one.
    if not any(len(set(map(_digit, label))) < len(label) for label in labels):  # type: ignore[arg-type]
        return splits
    notices.append(f"the labels are vectors of 0 and 1 for the {len(names)} names (--label-names)")

    def of(label: Label | None) -> tuple[str, ...]:
        assert isinstance(label, tuple)
        return tuple(name for name, value in zip(names, label, strict=True) if _digit(value))

    return {s: [replace(e, label=of(e.label)) for e in examples] for s, examples in splits.items()}


def _digit(value: Scalar) -> int | None:
    return {"0": 0, "1": 1}.get(label_name(value))


def _without(
    splits: Mapping[str, list[TextExample]],
    excluded: str,
    names: Sequence[str],
    problems: list[str],
    notices: list[str],
) -> dict[str, list[TextExample]]:
    """Leaves out examples with a label; with the empty one those that have none."""
    meant = {excluded} | ({str(names.index(excluded))} if excluded in names else set())
    what = f"the label {shown(excluded)}" if excluded else "no label"
    kept: dict[str, list[TextExample]] = {}
    told = False
    for split, examples in splits.items():
        out = [
            bool(meant & set(map(label_name, _scalars(e)))) if excluded else e.label is None
            for e in examples
        ]
        kept[split] = [e for e, is_out in zip(examples, out, strict=True) if not is_out]
        if not any(out):
            continue
        told = True
        first = examples[out.index(True)].source
        if kept[split]:
            notices.append(
                f"{file_of(first)}: {counted(sum(out), 'row')} with {what} left out "
                f"(--exclude-label), the first at {first}"
            )
        else:
            every = f"every row has {what} that" if excluded else "no row has a label, and"
            problems.append(
                f"{file_of(first)}: {every} --exclude-label leaves "
                f"{'' if excluded else 'such rows '}out; give a file with other labels"
            )
    if not told:
        notices.append(f"--exclude-label: no row has {what if excluded else 'an empty label'}")
    return kept


def _scalars(example: TextExample) -> tuple[Scalar, ...]:
    label = example.label
    if isinstance(label, tuple):
        return label
    return () if label is None else (label,)


def _check_repeats(examples: Iterable[TextExample], problems: list[str]) -> None:
    for example in examples:
        items = [label_name(item) for item in _scalars(example)]
        if len(set(items)) < len(items):
            problems.append(
                f"{example.source}: {listed(items)} names a label twice; list the labels that "
                f"apply once each (a vector of 0 and 1 in every row needs --label-names, one for "
                f"each place)"
            )


def _with_decimal_comma(example: TextExample, problems: list[str]) -> TextExample:
    label = example.label
    if not isinstance(label, str):
        return example
    if _DECIMAL_COMMA.fullmatch(label):
        return replace(example, label=float(label.replace(",", ".")))
    problems.append(
        f"{example.source}: label {shown(label)} is not a number with a decimal comma "
        f"(--decimal-comma); write it like 0,5"
    )
    return example


def _named(example: TextExample, names: Sequence[str], problems: list[str]) -> TextExample:
    found: list[Scalar] = []
    for item in _scalars(example):
        text = label_name(item)
        number = int(float(text)) if _WHOLE.fullmatch(text) else None
        if number is not None and 0 <= number < len(names):
            found.append(names[number])
        elif text in names:  # A file beside the others may hold the names themselves.
            found.append(text)
        else:
            problems.append(
                f"{example.source}: the label {shown(text)} is not one of the numbers 0 to "
                f"{len(names) - 1} that --label-names gives names to; add a name, correct it, or "
                f"leave such rows out (--exclude-label={text})"
            )
    label = example.label
    if not found:
        return example
    return replace(example, label=tuple(found) if isinstance(label, tuple) else found[0])
