"""What `lowcost-ft doctor` asks about text classification."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.exports.annotated import are_triples
from lowcost_ft.data.exports.writing import json_text
from lowcost_ft.data.findings import Change
from lowcost_ft.data.known_names import LABEL_NAMES
from lowcost_ft.data.label_names import read_label_names
from lowcost_ft.data.rows import Row, find_column
from lowcost_ft.tasks.checking import DataChecking
from lowcost_ft.tasks.classification.examples import TextExample, label_name
from lowcost_ft.tasks.classification.label_cells import written_list

__all__ = ["ClassificationChecking"]


class ClassificationChecking(DataChecking):
    """Texts and classes of examples, and rows with another class."""

    judged_by_texts: ClassVar[bool] = True

    @classmethod
    def texts_of(cls, example: TextExample) -> tuple[str, ...]:
        """The text, or both of a pair."""
        return (example.text,) if example.text_pair is None else (example.text, example.text_pair)

    @classmethod
    def with_class(
        cls, rows: Sequence[Row], place: int, reading: ReadingOptions, *, old: str, new: Any
    ) -> Change | None:
        """The value of the label's column, written as the file writes that class elsewhere."""
        if not isinstance(new, str) or not rows:
            return None
        taken = (reading.text_column, reading.text_pair_column)
        guesses = [name for name in LABEL_NAMES if name not in taken]
        column = find_column(rows, reading.label_column, guesses, "label", problems=[], notices=[])
        if column is None:
            return None
        names = [] if reading.label_names is None else read_label_names(reading.label_names, [])
        separator = reading.label_separator
        given, together = _items(rows[place].values.get(column), separator)
        if not any(_class_of(one, names) == old for one in given):
            return None
        others = (one for row in rows for one in _items(row.values.get(column), separator)[0])
        written = next((one for one in others if _class_of(one, names) == new), None)
        if written is None:
            return None
        written = written.strip() if isinstance(written, str) else written
        renamed = [written if _class_of(one, names) == old else one for one in given]
        return {column: together(list({_class_of(one, names): one for one in renamed}.values()))}

    @classmethod
    def with_text(
        cls, rows: Sequence[Row], place: int, reading: ReadingOptions, *, old: str, new: str
    ) -> Change | None:
        """The text in the column of the old one; None beside entities, which would shift."""
        values = rows[place].values
        if any(map(_are_spans, values.values())):
            return None
        return {name: new for name, value in values.items() if value == old} or None


def _are_spans(value: Any) -> bool:
    """Whether a cell holds places in the text: those of another task, which are kept."""
    if are_triples(value):
        return True
    return isinstance(value, list | tuple) and any(
        isinstance(one, dict) and not _STARTS.isdisjoint(one) for one in value
    )


_STARTS = {"start", "start_offset", "start_char", "start_index", "begin"}


def _items(value: Any, separator: str | None) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The labels of a cell, and what makes a cell of the same form of labels."""
    if isinstance(value, str):
        if separator is not None and separator in value:
            parts = [part.strip() for part in value.split(separator)]
            blank = " " if f"{separator} " in value else ""
            return [part for part in parts if part], f"{separator}{blank}".join
        written = written_list(value.strip())
        if isinstance(written, tuple):
            return list(written), json_text
    if not isinstance(value, list | tuple):
        return [value], lambda labels: labels[0]
    items = list(value)
    return [] if any(isinstance(item, list | tuple | dict) for item in items) else items, list


def _class_of(value: Any, names: Sequence[str]) -> str | None:
    """The class that a cell names, as `labels.finish` calls it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if names and str(value).strip().isdecimal() and int(str(value)) < len(names):
        return names[int(str(value))]
    return value.strip() if isinstance(value, str) else label_name(value)
