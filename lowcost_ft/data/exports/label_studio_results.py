"""Results of Label Studio's annotations -> entities, classes and relations."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lowcost_ft.data.exports.annotated import (
    ExportError,
    entity_id,
    is_offset,
    labels_of,
    text_of,
)
from lowcost_ft.data.known_names import LABEL_STUDIO_RELATION
from lowcost_ft.data.rows import shown

__all__ = ["UNNAMED_RELATION", "check_places", "controls_of", "is_relation", "is_span"]
__all__ += ["is_unnamed", "unescape", "values_of"]

UNNAMED_RELATION = "related"
"""The label of relations without one: an interface without <Relations> has no others."""

_CLASSES = ("choices", "taxonomy", "rating", "number", "textarea")


def is_span(result: Mapping[str, Any]) -> bool:
    """Whether a result marks a part of its text."""
    value = result.get("value")
    return isinstance(value, Mapping) and ("start" in value or "startOffset" in value)


def is_relation(result: Mapping[str, Any]) -> bool:
    """Whether a result says how two spans are related."""
    return _kind(result) == LABEL_STUDIO_RELATION


def is_unnamed(result: Mapping[str, Any]) -> bool:
    """Whether a result is a relation without a label."""
    return is_relation(result) and result.get("labels") in (None, [], [None])


def _kind(result: Mapping[str, Any]) -> str:
    return str(result.get("type", "")).casefold()


def _control(result: Mapping[str, Any]) -> str:
    return str(result.get("from_name", ""))


def _is_labels(result: Mapping[str, Any]) -> bool:
    return is_span(result) and _kind(result) not in _CLASSES


def controls_of(annotations: Iterable[Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """Controls of the interface that were used: name -> what they give.

    A control holds several classes if one annotation has two of them, in one result or in two.

    Args:
        annotations: The results of each annotation.
    """
    found: dict[str, str] = {}
    several = set()
    for results in annotations:
        given: dict[str, list[Any]] = {}
        for result in results:
            if _is_labels(result):
                found.setdefault(_control(result), "spans")
            elif _kind(result) in _CLASSES and not is_span(result):
                name = _control(result)
                found.setdefault(name, _kind(result))
                value = result.get("value")
                classes = value.get(_kind(result)) if isinstance(value, Mapping) else None
                if isinstance(classes, list):
                    given[name] = _joined(given.get(name, []), classes)
        several |= {name for name, classes in given.items() if len(classes) > 1}
    return {name: "several" if name in several else kind for name, kind in found.items()}


def _joined(before: list[Any], more: list[Any]) -> list[Any]:
    return [*before, *(one for one in more if one not in before)]


def values_of(
    results: Sequence[Mapping[str, Any]],
    controls: Mapping[str, str],
    label_column: str | None,
    related: bool,
    unused: Counter[str],
) -> dict[str, Any]:
    """What the results of one annotation say, by column.

    Args:
        results: The results.
        controls: What `controls_of` says of the results of all annotations.
        label_column: The control whose classes are the label, if the user named one.
        related: Whether there are relations in the file.
        unused: Counts the kinds of results that are not used.

    Raises:
        ExportError: A result cannot be read.
    """
    spans = [name for name, kind in controls.items() if kind == "spans"]
    classes = [name for name, kind in controls.items() if kind not in ("spans", "textarea")]
    values: dict[str, Any] = {}
    if spans or not controls:
        values["entities"] = []
    apart = spans if len(spans) > 1 else []
    for name in apart:
        values[name] = []
    columns = {name: name for name, kind in controls.items() if kind != "spans"}
    # A control of spans may have the name "label": then the classes keep their own.
    if len(classes) == 1 and classes[0] != label_column and "label" not in apart:
        columns[classes[0]] = "label"
    for name, column in columns.items():
        values[column] = [] if controls[name] == "several" else None
    kinds: dict[str, str] = {}
    for result in results:
        kind, name = _kind(result), _control(result)
        if is_relation(result):
            continue
        if _is_labels(result):
            if name not in spans:
                raise _shared(kind, name)
            for entity in _entities(result, f"T{len(values['entities']) + 1}"):
                values["entities"].append(entity)
                if apart:
                    values[name].append(entity)
        elif kind in _CLASSES and not is_span(result):
            if name not in columns or kinds.setdefault(name, kind) != kind:
                raise _shared(kind, name)
            values[columns[name]] = _together(values[columns[name]], _classes(result, kind), name)
        else:
            unused[f"{kind or 'no type'} of a span" if is_span(result) else kind] += 1
    for name, column in columns.items():
        texts = values[column]
        if controls[name] == "textarea" and isinstance(texts, list) and len(texts) == 1:
            values[column] = texts[0]
    if related:
        values["relations"] = _relations(results, values.get("entities", []))
    return values


def _shared(kind: str, control: str) -> ExportError:
    return ExportError(
        f'a result of {shown(kind)} has the "from_name" {shown(control)}, as have results of '
        f"another kind; give each control of the labelling interface a name of its own and export "
        f"the file anew"
    )


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
    labels = labels_of(labels, f"the span {start}..{end}")
    own = {"text": value["text"]} if isinstance(value.get("text"), str) else {}
    given = entity_id(result.get("id"), unnamed)
    return [
        {"id": given if number == 0 else f"{given}#{number + 1}", "start": start, "end": end}
        | {"label": label}
        | own
        for number, label in enumerate(labels)
    ]


def check_places(results: Sequence[Mapping[str, Any]], text: Any) -> None:
    """Compares spans of HTML, whose places count what a page shows, with its source.

    Raises:
        ExportError: There is markup in the source, so that the places differ.
    """
    for result in results:
        value = result.get("value")
        if _kind(result) != "hypertextlabels" or not isinstance(value, Mapping):
            continue
        places, own = value.get("globalOffsets"), value.get("text")
        if not isinstance(places, Mapping) or not isinstance(own, str):
            continue
        start, end = places.get("start"), places.get("end")
        if not is_offset(start) or not is_offset(end) or not isinstance(text, str):
            continue
        if text[start:end] != own and "<" in text:
            raise ExportError(
                f"the span {start}..{end} of HTML ({shown(own)}) counts the characters that a page "
                f"shows, and not those of its source; label plain texts (<Labels> and <Text>), or "
                f"leave these tasks out"
            )


def unescape(entities: Sequence[dict[str, Any]], text: Any) -> None:
    """Line ends in the spans' own texts, which some versions write as a backslash and an n."""
    for entity in entities if isinstance(text, str) else ():
        own = entity.get("text")
        if own is not None and own not in text and own.replace("\\n", "\n") in text:
            entity["text"] = own.replace("\\n", "\n")


def _together(before: Any, more: Any, control: str) -> Any:
    """What a control says where an annotation has one result of it more.

    Args:
        before: What its results before this one say; None or an empty list without any.
        more: What this one says.
        control: Its name, for messages.

    Raises:
        ExportError: They are two values of a control that has one, such as a rating.
    """
    if before in (None, []) or more in (before, None):
        return before if more is None else more
    if isinstance(before, list) and isinstance(more, list):
        return _joined(before, more)
    raise ExportError(
        f"one annotation has two values of the control {shown(control)}, {shown(before)} and "
        f"{shown(more)}; delete one of them in the tool"
    )


def _classes(result: Mapping[str, Any], kind: str) -> Any:
    value = result.get("value")
    given = (
        value.get("text" if kind == "textarea" else kind) if isinstance(value, Mapping) else None
    )
    if kind == "taxonomy" and isinstance(given, list):
        given = ["/".join(map(str, path)) if isinstance(path, list) else path for path in given]
    if kind == "textarea":
        return [given] if isinstance(given, str) else given
    if given is None:
        raise ExportError(f"a result of {shown(kind)} has no value ({shown(value)}); label it anew")
    return given


def _relations(
    results: Sequence[Mapping[str, Any]], entities: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    known = [entity["id"] for entity in entities]
    found = []
    for result in filter(is_relation, results):
        ends = [result.get("from_id"), result.get("to_id")]
        if missing := [one for one in ends if one not in known]:
            raise ExportError(
                f"a relation names the span {shown(missing[0])}, which is not in its annotation; "
                f"delete the relation, or export the file anew"
            )
        labels = [UNNAMED_RELATION] if is_unnamed(result) else result["labels"]
        if not isinstance(labels, list) or not all(map(text_of, labels)):
            raise ExportError(f"a relation has the labels {shown(labels)}; give it a list of texts")
        direction = result.get("direction")
        direction = "right" if direction is None else direction
        if direction not in ("left", "right", "bi"):
            raise ExportError(
                f"a relation has the direction {shown(direction)}; it must be left, right or bi"
            )
        ways = {"left": [ends[::-1]], "bi": [ends, ends[::-1]]}.get(direction, [ends])
        found += [
            {"head": head, "tail": tail, "label": label} for head, tail in ways for label in labels
        ]
    return found
