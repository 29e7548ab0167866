"""Why rows that hold relations cannot be read: mixed forms, half of one, layouts not supported."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.data.rows import Row, column_names, file_of, shown
from lowcost_ft.tasks.relation.word_rows import WORD_ENDS

__all__ = ["form_fault", "layout_fault"]

_FORMS = {
    "the numbers of words": WORD_ENDS,
    "the places of characters": ("head", "tail"),
    "lists of entities and relations": ("entities", "relations"),
}
"""Columns that tell how a row names its pairs; the first ones count in a row with several."""

_PAIR_FORM = (
    '{"token": [...], "h": {"pos": [0, 1]}, "t": {"pos": [3, 4]}, "relation": ...}: the numbers of '
    "its first word, counted from 0, and of the word after its last one"
)


def layout_fault(rows: Sequence[Row]) -> str | None:
    """What to do with a file in the layout of a public data set that is not read; None else."""
    if any("vertexSet" in row.values for row in rows):
        told = "laid out as DocRED, whose entities have several places each"
    elif any(map(_is_of_fewrel, rows)):
        told = "laid out as FewRel, where an entity may have several places"
    else:
        return None
    return (
        f"{file_of(rows[0].source)}: {told}, which is not read; choose one place of each entity, "
        f"and write a row for each pair as {_PAIR_FORM}"
    )


def form_fault(rows: Sequence[Row], *, labelled: bool) -> str | None:
    """What is wrong with the form of the rows of a whole file; None for nothing.

    Args:
        rows: The rows, those of OpenNRE as `plain_pair` gives them.
        labelled: Whether labels are read: then entities alone are too little.
    """
    file, names = file_of(rows[0].source), column_names(rows)
    first: dict[str, Row] = {}
    for row in rows:
        form = next((form for form in _FORMS if _found(row, form)), None)
        if form is not None:
            first.setdefault(form, row)
    if len(first) > 1:
        told = ", ".join(f"{row.source} by {form}" for form, row in first.items())
        return (
            f"{file}: the rows name their pairs in several ways, and all rows of a file must do it "
            f"in one: {told}; put them into files of their own, or write them alike"
        )
    texts = (value for row in rows for value in row.values.values() if isinstance(value, str))
    if not labelled or any("<e1" in text.lower() for text in texts):
        return None
    for given, missing in (("relations", "entities"), ("entities", "relations")):
        if given in names and missing not in names and "head" not in names:
            return (
                f"{file}: there is a column {shown(given)} and none named {shown(missing)}; add "
                f"that list to each row, or give the list that the rows have this name"
            )
    return None


def _found(row: Row, form: str) -> list[str]:
    return [name for name in _FORMS[form] if row.values.get(name) is not None]


def _is_of_fewrel(row: Row) -> bool:
    """Whether a row is one of FewRel's, or holds lists of them by their relation."""
    if "tokens" in row.values:
        return any(_has_places(row.values.get(name)) for name in ("h", "head"))
    lists = [value for value in row.values.values() if isinstance(value, list) and value]
    return any(isinstance(one[0], dict) and _has_places(one[0].get("h")) for one in lists)


def _has_places(value: Any) -> bool:
    if isinstance(value, dict):
        return isinstance(value.get("indices"), list)
    return isinstance(value, list) and len(value) == 3 and isinstance(value[2], list)
