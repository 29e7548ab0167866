"""What `lowcost-ft doctor` asks about relations: the text, and which pair is meant."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.findings import Change
from lowcost_ft.data.rows import Row, column_names
from lowcost_ft.tasks.checking import DataChecking
from lowcost_ft.tasks.classification.checks import ClassificationChecking
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.relation.entity_rows import RELATION_LABELS
from lowcost_ft.tasks.relation.examples import RelationExample
from lowcost_ft.tasks.relation.marked_rows import untagged
from lowcost_ft.tasks.relation.row_forms import LABELS, names_pairs, with_cells

__all__ = ["RelationChecking"]


class RelationChecking(DataChecking):
    """The part of the task that checks data."""

    @staticmethod
    def texts_of(example: TextExample) -> tuple[str, ...]:
        """The text, and the words of its pair, since two pairs of one text are two inputs."""
        assert isinstance(example, RelationExample)
        named = (
            " -> ".join(example.text[one.start : one.end] for one in pair) for pair in example.pairs
        )
        return (example.text, *named)

    @classmethod
    def is_meant(cls, rows: Sequence[Row], reading: ReadingOptions) -> bool:
        """Whether rows name pairs of entities, or some hold relations between theirs."""
        rows = [with_cells(row) for row in rows]
        if any(row.values.get("relations") and "entities" in row.values for row in rows):
            return True
        texts = [[v for v in row.values.values() if isinstance(v, str)] for row in rows]
        tagged = [any(untagged(text) is not None for text in of_row) for of_row in texts]
        return bool(rows) and (2 * sum(tagged) >= len(rows) or names_pairs(rows, reading))

    @classmethod
    def with_class(
        cls, rows: Sequence[Row], place: int, reading: ReadingOptions, *, old: str, new: Any
    ) -> Change | None:
        """Another label for a row with one pair; None for a row with all of its entities."""
        if "entities" in rows[place].values:
            return None
        names = column_names(rows)
        column = reading.label_column or next((name for name in LABELS if name in names), None)
        named = replace(reading, label_column=column)
        return ClassificationChecking.with_class(rows, place, named, old=old, new=new)

    @classmethod
    def with_names(
        cls, rows: Sequence[Row], place: int, reading: ReadingOptions, *, new: Mapping[str, str]
    ) -> Change | None:
        """The row's relations with other labels, or the label of a row with one pair."""
        values = with_cells(rows[place]).values
        if "entities" not in values:
            return super().with_names(rows, place, reading, new=new)
        given = values.get("relations")
        if not isinstance(given, list | tuple):
            return None
        relations = [_renamed(relation, new) for relation in given]
        return None if relations == list(given) else {"relations": relations}

    @classmethod
    def with_text(
        cls, rows: Sequence[Row], place: int, reading: ReadingOptions, *, old: str, new: str
    ) -> Change | None:
        """None: the places of the entities would shift."""
        return None


def _renamed(relation: Any, new: Mapping[str, str]) -> Any:
    key = next((key for key in RELATION_LABELS if relation.get(key) is not None), None)
    if key is None or not isinstance(relation[key], str):
        return relation
    label = relation[key].strip()
    return relation | {key: new[label]} if label in new else relation
