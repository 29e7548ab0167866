"""One input with what each annotator said about it, and checks of values that a tool wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lowcost_ft.data.rows import Row, shown

__all__ = [
    "Annotated",
    "Annotation",
    "ExportError",
    "are_triples",
    "entity_id",
    "is_offset",
    "labels_of",
    "objects",
    "text_of",
]


class ExportError(ValueError):
    """What is wrong with one row of an export, and how to mend it; its place is added later."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one annotator said.

    Attributes:
        annotator: Who it was.
        values: Column -> value: `entities` and `relations` in the package's own form, classes as
            strings or lists of them.
        is_truth: Whether the tool marks it as the right one among several.
    """

    annotator: str
    values: dict[str, Any] = field(default_factory=dict)
    is_truth: bool = False


@dataclass(frozen=True, slots=True)
class Annotated:
    """One input of an export.

    Attributes:
        row: The input, with all of its own fields, and its place.
        annotations: What annotators said about it, in the order of the file; empty where nobody
            has labelled it yet.
    """

    row: Row
    annotations: tuple[Annotation, ...] = ()


def objects(value: Any, what: str) -> list[Mapping[str, Any]]:
    """A list of objects; an empty one where there is none.

    Raises:
        ExportError: It is something else.
    """
    if value is None:
        return []
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ExportError(
            f'"{what}" is {shown(value)}, not a list of objects; export the file anew'
        )
    for item in value:
        if not isinstance(item, Mapping):
            raise ExportError(f'"{what}" holds {shown(item)}, not an object; export the file anew')
    return list(value)


def are_triples(value: Any) -> bool:
    """Whether a value is a list of [start, end, label], and not an empty one."""
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(
            isinstance(item, list | tuple) and len(item) == 3 and is_offset(item[0])
            for item in value
        )
    )


def entity_id(value: Any, unnamed: str) -> int | str:
    """What a span calls itself, which relations name it by.

    Args:
        value: The id in the file; None where it has none.
        unnamed: What to call it then.

    Raises:
        ExportError: It is no number or text.
    """
    if value is None:
        return unnamed
    if type(value) not in (int, str):
        raise ExportError(f'a span has the "id" {shown(value)}; it must be a number or a text')
    return value


def labels_of(labels: Any, span: str) -> list[str]:
    """The labels of a span, checked.

    Args:
        labels: What stands there.
        span: What to call the span.

    Raises:
        ExportError: There is none, or one that is not text.
    """
    for label in labels if isinstance(labels, list) else ():
        if label is not None and not isinstance(label, str):
            raise ExportError(
                f"{span} has the label {shown(label)}, which is not text; write it in quotes, or "
                f"label it anew"
            )
    if not labels or not isinstance(labels, list) or not all(map(text_of, labels)):
        raise ExportError(f"{span} has no label; label it or delete it in the tool")
    return labels


def is_offset(value: Any) -> bool:
    """Whether a value can count characters; `True` is an int to isinstance."""
    return type(value) is int


def text_of(value: Any) -> str | None:
    """A text that says something."""
    return value if isinstance(value, str) and value.strip() else None
