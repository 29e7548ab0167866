"""Rows in the package's own form -> JSONL, and tasks for Label Studio and doccano."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lowcost_ft.data.known_names import LABEL_STUDIO_RELATION

__all__ = ["Canonical", "doccano_lines", "json_lines", "json_text", "label_studio_tasks"]

Canonical = Mapping[str, Any]
"""A row with "text", and where it has them "id", "entities", "relations", "label" and other
fields."""

_OWN = ("id", "text", "entities", "relations", "label")

_HALF_PAIR = re.compile("[\ud800-\udfff]")
"""What JSON can hold as an escape only: no UTF-8 stands for it."""


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that can be written as UTF-8; what JSON does not know is written as a text."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return _HALF_PAIR.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """One object a line, as this package reads it."""
    return "".join(json_text(row) + "\n" for row in rows)


def _labels(value: Any) -> list[str]:
    given = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return [one if isinstance(one, str) else _number(one) for one in given]


def _number(value: Any) -> str:
    """A class that is a number, as a person writes it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def label_studio_tasks(rows: Sequence[Canonical], *, predicted_by: str | None = None) -> str:
    """Tasks as Label Studio imports and exports them: one JSON list.

    Spans are of a control "label", classes of a control "class", both of the text "text". A row
    without entities and classes becomes a task that nobody has annotated yet.

    Args:
        rows: The rows.
        predicted_by: The model whose answers the labels are. They become predictions, which an
            annotator accepts or corrects, with their scores; None: people gave them.
    """
    tasks = [_task(row, predicted_by) for row in rows]
    return json_text(tasks, indent=1) + "\n"


def _task(row: Canonical, predicted_by: str | None) -> dict[str, Any]:
    text = row["text"]
    results: list[dict[str, Any]] = []
    for entity in row.get("entities") or ():
        start, end = entity["start"], entity["end"]
        value = {"start": start, "end": end, "text": text[start:end], "labels": [entity["label"]]}
        results.append(
            {"id": str(entity["id"]), "from_name": "label", "to_name": "text", "type": "labels"}
            | {"value": value}
            | ({"score": entity["score"]} if predicted_by and "score" in entity else {})
        )
    for relation in row.get("relations") or ():
        results.append(
            {"from_id": str(relation["head"]), "to_id": str(relation["tail"]), "direction": "right"}
            | {
                "type": LABEL_STUDIO_RELATION,
                "labels": [relation["label"]] if relation["label"] else [],
            }
        )
    if names := _labels(row.get("label")):
        results.append(
            {"id": "class", "from_name": "class", "to_name": "text", "type": "choices"}
            | {"value": {"choices": names}}
        )
    annotated = "entities" in row or row.get("label") is not None
    task: dict[str, Any] = {} if row.get("id") is None else {"id": row["id"]}
    data = {"text": text} | {name: v for name, v in row.items() if name not in _OWN}
    given: dict[str, Any] = {"result": results}
    if predicted_by is None:
        return task | {"data": data, "annotations": [given] if annotated else []}
    if isinstance(row.get("score"), float):
        given["score"] = row["score"]
    given["model_version"] = predicted_by
    return task | {"data": data, "predictions": [given] if annotated else []}


def doccano_lines(rows: Sequence[Canonical]) -> str:
    """Rows as doccano imports and exports them, in the form of the project that the file needs.

    With relations, spans are objects whose ids are numbers, counted through the file if they are
    not numbers already; with classes beside spans, these are lists of three and `cats`.
    """
    related = any(row.get("relations") for row in rows)
    marked = any("entities" in row for row in rows)
    classes = any("label" in row for row in rows)
    used = [entity["id"] for row in rows for entity in row.get("entities") or ()]
    numbered = all(type(one) is int for one in used) and len(set(used)) == len(used)
    lines = []
    number = 0
    for row in rows:
        found: dict[str, Any] = {} if row.get("id") is None else {"id": row["id"]}
        found["text"] = row["text"]
        entities = row.get("entities") or ()
        if related:
            ids = {e["id"]: e["id"] if numbered else number + n for n, e in enumerate(entities, 1)}
            number += len(entities)
            found["entities"] = [
                {"id": ids[e["id"]], "label": e["label"]}
                | {"start_offset": e["start"], "end_offset": e["end"]}
                for e in entities
            ]
            found["relations"] = [
                ({"id": r["id"]} if "id" in r else {})
                | {"from_id": ids[r["head"]], "to_id": ids[r["tail"]], "type": r["label"]}
                for r in row.get("relations") or ()
            ]
        elif marked:
            spans = [[e["start"], e["end"], e["label"]] for e in entities]
            # Without any span an empty list of labels could be one of classes.
            found["entities" if classes or not used else "label"] = spans
        if classes:
            found["cats" if marked or related else "label"] = _labels(row.get("label"))
        lines.append(found | {name: v for name, v in row.items() if name not in _OWN})
    return json_lines(lines)
