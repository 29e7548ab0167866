"""Rows -> text classification examples: one text or a pair; one label, several, or a number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.rows import (
    Row,
    column_names,
    file_of,
    find_column,
    read_id,
    read_text,
    shown,
    surrogate_fault,
)

__all__ = ["Label", "TextExample", "label_name", "read_examples"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class TextExample:
    """One text, or pair of texts.

    Attributes:
        text: The text.
        text_pair: The second text of a pair.
        label: After `text_labels.finish` a str, a sorted tuple of str (multi-label) or a float
            (regression); None without labels.
        source: File and line.
        row_id: What the row's column "id" holds, to be told beside the prediction.
    """

    text: str
    text_pair: str | None = None
    label: Label | None
    source: str
    row_id: str | int | float | None = None


def read_examples(
    rows: Sequence[Row],
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
    labelled: bool = True,
) -> list[TextExample]:
    """Reads one split's rows.

    Args:
        rows: Rows of one file or split.
        reading: How the rows are read; what is not given is guessed.
        problems: Gets a line for each problem.
        notices: Gets a line for guessed columns.
        labelled: Whether to read labels; if not, `label` is None.

    Returns:
        The examples without problems, their labels as the input has them.
    """
    if not rows:
        return []
    before = len(problems)
    text_column, pair_column = _find_texts(rows, reading, problems, notices)
    label_column = None
    if labelled:
        guesses = [name for name in _LABELS if name not in (text_column, pair_column)]
        label_column = find_column(
            rows, reading.label_column, guesses, "label", problems=problems, notices=notices
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
            examples.append(
                TextExample(
                    text=text,
                    text_pair=pair,
                    label=label,
                    source=row.source,
                    row_id=read_id(row, used),
                )
            )
    return examples


def _find_texts(
    rows: Sequence[Row], reading: ReadingOptions, problems: list[str], notices: list[str]
) -> tuple[str | None, str | None]:
    found: dict[str, Any] = {"problems": problems, "notices": notices}
    names = column_names(rows)
    if reading.text_column is None and reading.text_pair_column is None:
        for first, second in _PAIRS:
            if first in names and second in names and reading.label_column not in (first, second):
                notices.append(
                    f"{file_of(rows[0].source)}: pairs of texts, {shown(first)} and "
                    f"{shown(second)} (--text-column alone reads one text)"
                )
                return first, second
    taken = (reading.text_pair_column, reading.label_column)
    guesses = [name for name in _TEXTS if name not in taken]
    if reading.text_pair_column is not None:
        guesses = [
            first for first, second in _PAIRS if second == reading.text_pair_column
        ] + guesses
    text_column = find_column(rows, reading.text_column, guesses, "text", **found)
    if reading.text_pair_column is None:
        return text_column, None
    return text_column, find_column(rows, reading.text_pair_column, (), "text_pair", **found)


def _read_label(row: Row, column: str, problems: list[str]) -> Label | None:
    value = row.values.get(column)
    where = f"{row.source}: {shown(column)}"
    if not isinstance(value, list | tuple):
        return _read_scalar(value, where, problems)
    names = [_read_scalar(item, f"{where}, item {i}", problems) for i, item in enumerate(value, 1)]
    labels = tuple(sorted({label_name(name) for name in names if name is not None}))
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
        if fault := surrogate_fault(value):
            problems.append(f"{where} {fault}")
        return value.strip()
    else:
        problems.append(
            f"{where} is {shown(value)}; a label is a text, a number or a list of texts"
        )
    return None


def label_name(label: str | int | float) -> str:
    """The name of a class; a number is written as a person would."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))  # a table's column of whole numbers with gaps comes as floats
    return str(label)
