"""What `lowcost-ft doctor` asks about text classification."""

from collections.abc import Sequence
from typing import Any, ClassVar

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.exports.annotated import are_triples
from lowcost_ft.data.findings import Change
from lowcost_ft.data.known_names import LABEL_NAMES
from lowcost_ft.data.label_names import read_label_names
from lowcost_ft.data.rows import Row, find_column
from lowcost_ft.tasks.checking import DataChecking
from lowcost_ft.tasks.classification.examples import TextExample, label_name

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
        given = rows[place].values.get(column)
        if not any(_class_of(one, names) == old for one in _items(given)):
            return None
        others = (one for row in rows for one in _items(row.values.get(column)))
        written = next((one for one in others if _class_of(one, names) == new), None)
        if written is None:
            return None
        written = written.strip() if isinstance(written, str) else written
        if not isinstance(given, list | tuple):
            return {column: written}
        renamed = [written if _class_of(one, names) == old else one for one in given]
        return {column: list({_class_of(one, names): one for one in renamed}.values())}

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


def _items(value: Any) -> list[Any]:
    """The labels of a cell."""
    items = list(value) if isinstance(value, list | tuple) else [value]
    return [] if any(isinstance(item, list | tuple | dict) for item in items) else items


def _class_of(value: Any, names: Sequence[str]) -> str | None:
    """The class that a cell names, as `labels.finish` calls it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if names and str(value).strip().isdecimal() and int(str(value)) < len(names):
        return names[int(str(value))]
    return value.strip() if isinstance(value, str) else label_name(value)
