"""doccano's JSONL: labels, spans, relations and classes -> inputs with annotations."""

from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.data.exports.annotated import (
    Annotated,
    Annotation,
    ExportError,
    are_triples,
    entity_id,
    is_offset,
    objects,
    text_of,
)
from lowcost_ft.data.rows import Row, shown

__all__ = ["is_doccano", "read_doccano", "read_inputs"]

_LABELS = ("label", "labels")
_TEXTS = ("text", "data")


def is_doccano(values: Mapping[str, Any]) -> bool:
    """Whether a row can only be doccano's: one with plain classes is like any other."""
    if not any(isinstance(values.get(name), str) for name in _TEXTS):
        return False
    if any(are_triples(values.get(name)) for name in _LABELS):
        return True
    if _has_key(values.get("annotations"), "user") or isinstance(values.get("Comments"), list):
        return True
    entities, relations = values.get("entities"), values.get("relations")
    if _has_key(entities, "start_offset") and _has_key(entities, "label"):
        return True
    cats = values.get("cats")
    return _has_key(relations, "from_id") or (isinstance(cats, list) and isinstance(entities, list))


def _has_key(value: Any, key: str) -> bool:
    return isinstance(value, list) and any(
        isinstance(item, Mapping) and key in item for item in value
    )


def read_inputs(rows: Sequence[Row]) -> list[Annotated]:
    """The inputs alone, one for each row."""
    return [Annotated(Row(_with_text(row.values), row.source)) for row in rows]


def _with_text(values: Mapping[str, Any]) -> dict[str, Any]:
    """Some versions call the text "data"."""
    if "text" in values or not isinstance(values.get("data"), str):
        return dict(values)
    return {"text": values["data"]} | {n: v for n, v in values.items() if n != "data"}


def read_doccano(rows: Sequence[Row], *, problems: list[str]) -> list[Annotated]:
    """Reads rows: one for each input, or with all of its annotators in `annotations`.

    Args:
        rows: The rows of one file.
        problems: Gets a line for each row that cannot be read.
    """
    spans = [name for name in _LABELS if any(are_triples(row.values.get(name)) for row in rows)]
    by_users = any(_has_key(row.values.get("annotations"), "user") for row in rows)
    related = any("relations" in row.values for row in rows)
    marked = bool(spans) or any("entities" in row.values for row in rows)
    read = []
    for row in rows:
        try:
            if by_users and row.values.get("annotations") == []:
                values = {n: v for n, v in _with_text(row.values).items() if n != "annotations"}
                read.append(Annotated(Row(values, row.source)))  # Nobody has labelled it.
                continue
            named = [name for name in (*spans, "entities") if row.values.get(name)]
            column = (named or spans or ["entities"])[0]
            read.append(_read(row, column, marked, related))
        except ExportError as error:
            problems.append(f"{row.source}: {error}")
    return read


def _read(row: Row, column: str, marked: bool, related: bool) -> Annotated:
    values = _with_text(row.values)
    if _has_key(values.get("annotations"), "user"):
        return _of_users(Row(values, row.source))
    found: dict[str, Any] = {}
    if marked:
        found["entities"] = _entities(values.pop(column, None))
    if related:
        found["relations"] = _relations(values.pop("relations", None), found.get("entities", []))
    if marked and "cats" in values:
        found["label"] = _cats(values.pop("cats"))
    for name in _LABELS:
        if name in values and (name != column or not marked):
            found.setdefault("label", values.pop(name))
    return Annotated(Row(values, row.source), (Annotation("", found),))


def _cats(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    raise ExportError(f'"cats" is {shown(value)}, not a list of classes')


def _of_users(row: Row) -> Annotated:
    """A row of the first versions: one annotation for each label, with its user."""
    values = dict(row.values)
    given = objects(values.pop("annotations"), "annotations")
    by_user: dict[str, list[Mapping[str, Any]]] = {}
    for one in given:
        by_user.setdefault(str(one.get("user")), []).append(one)
    marked = any("start_offset" in one for one in given)
    annotations = []
    for user, ones in by_user.items():
        if marked:
            annotations.append(Annotation(user, {"entities": _entities(ones)}))
        else:
            classes = [
                one["label"] if isinstance(one.get("label"), str) else str(one.get("label"))
                for one in ones
            ]
            annotations.append(Annotation(user, {"label": classes}))
    return Annotated(Row(values, row.source), tuple(annotations))


def _entities(value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ExportError(f"the spans are {shown(value)}, not a list; export the file anew")
    found: list[dict[str, Any]] = []
    for item in value:
        if isinstance(item, Mapping):
            start = item.get("start_offset", item.get("start"))
            end = item.get("end_offset", item.get("end"))
            label, given = item.get("label"), item.get("id")
        elif isinstance(item, list) and len(item) == 3:
            (start, end, label), given = item, None
        else:
            start = end = label = given = None
        if type(label) is int:  # The first versions wrote the number of the label.
            label = str(label)
        if not is_offset(start) or not is_offset(end) or text_of(label) is None:
            raise ExportError(
                f"the span {shown(item)} must be [start, end, label] or have start_offset, "
                f"end_offset and label; correct it or delete it"
            )
        own = (
            {"text": item["text"]}
            if isinstance(item, Mapping) and text_of(item.get("text"))
            else {}
        )
        number = entity_id(given, f"T{len(found) + 1}")
        found.append({"id": number, "start": start, "end": end, "label": label} | own)
    if len({repr(entity["id"]) for entity in found}) < len(found):
        raise ExportError("two spans have one id, so that relations cannot tell them apart")
    return found


def _relations(value: Any, entities: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    known = [entity["id"] for entity in entities]
    found = []
    for item in objects(value, "relations"):
        ends = [item.get("from_id", item.get("head")), item.get("to_id", item.get("tail"))]
        label = item.get("type", item.get("label"))
        if missing := [one for one in ends if one not in known]:
            raise ExportError(
                f"a relation names the span {shown(missing[0])}, which the row does not have; "
                f"correct its from_id and to_id, or delete it"
            )
        if text_of(label) is None:
            raise ExportError(f'the relation {shown(item)} has no "type"; give it one')
        own = {"id": item["id"]} if item.get("id") is not None else {}
        found.append(own | {"head": ends[0], "tail": ends[1], "label": label})
    return found
