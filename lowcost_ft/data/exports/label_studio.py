"""Label Studio's JSON: tasks with the results of each annotation -> inputs with annotations."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.data.exports.annotated import (
    Annotated,
    Annotation,
    ExportError,
    entity_id,
    is_offset,
    objects,
    text_of,
)
from lowcost_ft.data.known_names import LABEL_STUDIO_RELATION, TEXT_NAMES
from lowcost_ft.data.rows import Row, shown

__all__ = ["is_label_studio", "read_label_studio"]

_ANNOTATIONS = ("annotations", "completions")
"""The second is the name before version 1.0."""
_TASK = {
    *("id", "data", "meta", "predictions", "drafts", "project", "file_upload", "inner_id"),
    *("created_at", "updated_at", "updated_by", "total_annotations", "cancelled_annotations"),
    *("total_predictions", "is_labeled", "overlap", "comment_count", *_ANNOTATIONS),
}
_CLASSES = ("choices", "taxonomy", "rating", "number", "textarea")


def is_label_studio(values: Mapping[str, Any]) -> bool:
    """Whether a row is a task of Label Studio's, annotated or not."""
    if not isinstance(values.get("data"), Mapping):
        return False
    return any(isinstance(values.get(name), list) for name in _ANNOTATIONS) or set(values) <= _TASK


def read_label_studio(
    rows: Sequence[Row],
    *,
    text_column: str | None,
    label_column: str | None,
    labelled: bool = True,
    problems: list[str],
    notices: list[str],
) -> list[Annotated]:
    """Reads tasks; annotations that were cancelled, drafts and predictions do not count.

    A control of the interface with spans gives `entities`; where there are several, each has a
    column of its own name beside it. The one control with classes gives `label`; where there are
    several, each has a column of its own.

    Args:
        rows: The tasks of one file.
        text_column: The field of the data that holds the text; None: the one that the spans'
            own texts stand in.
        label_column: The control whose classes are the label, if the user named one.
        labelled: Whether annotations are wanted; if not, nothing that is wrong with them matters.
        problems: Gets a line for each task that cannot be read.
        notices: Gets a line for results that are not used.
    """
    tasks: list[tuple[Row, list[tuple[Annotation, list[Mapping[str, Any]]]]]] = []
    for row in rows:
        try:
            tasks.append((row, _annotations(row.values)))
        except ExportError as error:
            if labelled or not isinstance(row.values.get("data"), Mapping):
                problems.append(f"{row.source}: {error}")
            else:
                tasks.append((row, []))
    results = [result for _, found in tasks for _, given in found for result in given]
    controls = _controls(results)
    related = any(_kind(result) == LABEL_STUDIO_RELATION for result in results)
    text = text_column or _text_field(tasks)
    if not labelled:
        return [Annotated(_input(row, text, text_column)) for row, _ in tasks]
    unused: Counter[str] = Counter()
    read = []
    for row, found in tasks:
        annotations: list[Annotation] = []
        given_input = _input(row, text, text_column)
        for annotation, given in found:
            try:
                values = _values(given, controls, label_column, unused)
                if related:
                    relations = [
                        result for result in given if _kind(result) == LABEL_STUDIO_RELATION
                    ]
                    values["relations"] = _relations(relations, values.get("entities", []))
            except ExportError as error:
                problems.append(f"{row.source}: {error}")
                break
            else:
                _unescape(values.get("entities", ()), given_input.values.get("text"))
                annotations.append(Annotation(annotation.annotator, values, annotation.is_truth))
        read.append(Annotated(given_input, tuple(annotations)))
    if unused:
        told = ", ".join(f"{count:,} of {shown(kind)}" for kind, count in unused.most_common())
        file = rows[0].source.rpartition(":")[0]
        notices.append(f"{file}: results that are not used: {told}")
    return read


def _annotations(
    values: Mapping[str, Any],
) -> list[tuple[Annotation, list[Mapping[str, Any]]]]:
    """Annotations of a task that count, with their results."""
    if not isinstance(values.get("data"), Mapping):
        raise ExportError(f'"data" is {shown(values.get("data"))}, not the fields of a task')
    name = next((name for name in _ANNOTATIONS if values.get(name) is not None), _ANNOTATIONS[0])
    found = []
    for number, given in enumerate(objects(values.get(name), name), 1):
        if given.get("was_cancelled") or given.get("skipped"):
            continue
        who = given.get("completed_by")
        if isinstance(who, Mapping):
            who = who.get("email") or who.get("id")
        annotator = f"annotation {number}" if who is None else str(who)
        truth = given.get("ground_truth") is True or given.get("honeypot") is True
        found.append((Annotation(annotator, {}, truth), objects(given.get("result"), "result")))
    return found


def _is_span(result: Mapping[str, Any]) -> bool:
    value = result.get("value")
    return isinstance(value, Mapping) and ("start" in value or "startOffset" in value)


def _kind(result: Mapping[str, Any]) -> str:
    return str(result.get("type", "")).casefold()


def _control(result: Mapping[str, Any]) -> str:
    return str(result.get("from_name", ""))


def _is_labels(result: Mapping[str, Any]) -> bool:
    return _is_span(result) and _kind(result) not in _CLASSES


def _controls(results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Controls of the interface that were used: name -> what they give."""
    found: dict[str, str] = {}
    several = set()
    for result in results:
        if _is_labels(result):
            found.setdefault(_control(result), "spans")
        elif _kind(result) in _CLASSES and not _is_span(result):
            found.setdefault(_control(result), _kind(result))
            value = result.get("value")
            given = value.get(_kind(result)) if isinstance(value, Mapping) else None
            if isinstance(given, list) and len(given) > 1:
                several.add(_control(result))
    return {name: "several" if name in several else kind for name, kind in found.items()}


# --- The input ----------------------------------------------------------------------------------


def _text_field(
    tasks: Sequence[tuple[Row, list[tuple[Annotation, list[Mapping[str, Any]]]]]],
) -> str | None:
    """The field of the data that is the text: the interface knows, but it is not in the export."""
    data = [row.values["data"] for row, _ in tasks]
    names = [
        name
        for name in dict.fromkeys(name for fields in data for name in fields)
        if all(isinstance(fields.get(name), str | None) for fields in data)
        and any(text_of(fields.get(name)) for fields in data)
    ]
    if len(names) < 2:
        return names[0] if names else None
    agreeing: Counter[str] = Counter()
    for row, found in tasks:
        for result in (result for _, given in found for result in given if _is_span(result)):
            value = result["value"]
            own, start, end = value.get("text"), value.get("start"), value.get("end")
            for name in names:
                text = row.values["data"].get(name) or ""
                if isinstance(own, str) and is_offset(start) and is_offset(end) and own:
                    agreeing[name] += 1 + (text[start:end] == own) if own in text else 0
    if agreeing and agreeing.most_common(1)[0][1]:
        return agreeing.most_common(1)[0][0]
    return next((name for name in TEXT_NAMES if name in names), None)


def _input(row: Row, text: str | None, given: str | None) -> Row:
    data = dict(row.values["data"])
    if text is not None and text in data and text != "text":
        own = data[text] if given is not None else data.pop(text)
        data = {"text": own} | {("data.text" if n == "text" else n): v for n, v in data.items()}
    if row.values.get("id") is not None:
        data = {"id": row.values["id"]} | data
    return Row(data, row.source)


# --- What was annotated -------------------------------------------------------------------------


def _values(
    results: Sequence[Mapping[str, Any]],
    controls: Mapping[str, str],
    label_column: str | None,
    unused: Counter[str],
) -> dict[str, Any]:
    spans = [name for name, kind in controls.items() if kind == "spans"]
    classes = [name for name, kind in controls.items() if kind not in ("spans", "textarea")]
    values: dict[str, Any] = {}
    if spans or not controls:
        values["entities"] = []
    for name in spans if len(spans) > 1 else ():
        values[name] = []
    columns = {name: name for name, kind in controls.items() if kind != "spans"}
    if len(classes) == 1 and classes[0] != label_column:
        columns[classes[0]] = "label"
    for name, column in columns.items():
        values[column] = [] if controls[name] == "several" else None
    for result in results:
        kind, name = _kind(result), _control(result)
        if kind == LABEL_STUDIO_RELATION:
            continue
        if _is_labels(result):
            for entity in _entities(result, f"T{len(values['entities']) + 1}"):
                values["entities"].append(entity)
                if len(spans) > 1:
                    values[name].append(entity)
        elif kind in _CLASSES and not _is_span(result):
            values[columns[name]] = _classes(result, kind)
        else:
            unused[f"{kind or 'no type'} of a span" if _is_span(result) else kind] += 1
    return values


def _entities(result: Mapping[str, Any], unnamed: str) -> list[dict[str, Any]]:
    value, kind = result["value"], str(result.get("type", ""))
    start, end = value.get("start"), value.get("end")
    if isinstance(value.get("globalOffsets"), Mapping):  # of labels in HTML
        start, end = (value["globalOffsets"].get(name) for name in ("start", "end"))
    if not is_offset(start) or not is_offset(end):
        what = {"paragraphlabels": "a dialogue", "hypertextlabels": "HTML"}.get(kind.casefold())
        raise ExportError(
            f"a span of {what or 'something else than a text'} "
            f"({shown(kind)}, start {shown(start)}, end {shown(end)}), whose place does not count "
            f"characters; label plain texts (<Labels> and <Text>), or leave these tasks out"
        )
    labels = next(
        (value[name] for name in (kind, "labels", "label") if isinstance(value.get(name), list)),
        None,
    )
    if labels is None and kind == "labels" and isinstance(value.get("labels"), str):
        labels = [value["labels"]]
    if not labels or not all(text_of(label) for label in labels):
        raise ExportError(
            f"the span {start}..{end} has no label ({shown(value)}); label it or delete it in the "
            f"tool"
        )
    own = {"text": value["text"]} if isinstance(value.get("text"), str) else {}
    given = entity_id(result.get("id"), unnamed)
    return [
        {"id": given if number == 0 else f"{given}#{number + 1}", "start": start, "end": end}
        | {"label": label}
        | own
        for number, label in enumerate(labels)
    ]


def _unescape(entities: Sequence[dict[str, Any]], text: Any) -> None:
    """Line ends in the spans' own texts, which some versions write as a backslash and an n."""
    for entity in entities if isinstance(text, str) else ():
        own = entity.get("text")
        if own is not None and own not in text and own.replace("\\n", "\n") in text:
            entity["text"] = own.replace("\\n", "\n")


def _classes(result: Mapping[str, Any], kind: str) -> Any:
    value = result.get("value")
    given = (
        value.get("text" if kind == "textarea" else kind) if isinstance(value, Mapping) else None
    )
    if kind == "taxonomy" and isinstance(given, list):
        given = ["/".join(map(str, path)) if isinstance(path, list) else path for path in given]
    if kind == "textarea":
        return given[0] if isinstance(given, list) and len(given) == 1 else given
    if given is None:
        raise ExportError(f"a result of {shown(kind)} has no value ({shown(value)}); label it anew")
    return given


def _relations(
    results: Sequence[Mapping[str, Any]], entities: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    known = [entity["id"] for entity in entities]
    found = []
    for result in results:
        ends = [result.get("from_id"), result.get("to_id")]
        if missing := [one for one in ends if one not in known]:
            raise ExportError(
                f"a relation names the span {shown(missing[0])}, which is not in its annotation; "
                f"delete the relation, or export the file anew"
            )
        labels = result.get("labels") or [None]
        if not isinstance(labels, list) or not all(one is None or text_of(one) for one in labels):
            raise ExportError(f"a relation has the labels {shown(labels)}; give it a list of texts")
        direction = result.get("direction", "right")
        ways = {"left": [ends[::-1]], "bi": [ends, ends[::-1]]}.get(direction, [ends])
        found += [
            {"head": head, "tail": tail, "label": label} for head, tail in ways for label in labels
        ]
    return found
