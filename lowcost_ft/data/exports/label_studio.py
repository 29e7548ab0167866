"""Label Studio's JSON: tasks with the results of each annotation -> inputs with annotations."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.data.exports.annotated import Annotated, Annotation, ExportError, objects
from lowcost_ft.data.exports.label_studio_results import (
    UNNAMED_RELATION,
    check_places,
    controls_of,
    is_relation,
    is_unnamed,
    unescape,
    values_of,
)
from lowcost_ft.data.exports.label_studio_texts import find_texts, results_of_text
from lowcost_ft.data.known_names import LABEL_STUDIO_RELATION
from lowcost_ft.data.rows import Row, counted, file_of, listed, shown

__all__ = ["is_label_studio", "is_waiting", "read_label_studio"]

_ANNOTATIONS = ("annotations", "completions")
"""The second is the name before version 1.0."""
_TASK = {
    *("id", "data", "meta", "predictions", "drafts", "project", "file_upload", "inner_id"),
    *("created_at", "updated_at", "updated_by", "total_annotations", "cancelled_annotations"),
    *("total_predictions", "is_labeled", "overlap", "comment_count", *_ANNOTATIONS),
}


def is_label_studio(values: Mapping[str, Any]) -> bool:
    """Whether a row is a task of Label Studio's, annotated or not."""
    if not isinstance(values.get("data"), Mapping):
        return False
    return any(isinstance(values.get(name), list) for name in _ANNOTATIONS) or set(values) <= _TASK


def is_waiting(values: Mapping[str, Any]) -> bool:
    """Whether a row is a task of Label Studio's that nobody has annotated, and nobody skipped."""
    return is_label_studio(values) and not any(values.get(name) for name in _ANNOTATIONS)


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
    annotated = [given for _, found in tasks for _, given in found]
    controls = controls_of(annotated)
    related = any(is_relation(result) for given in annotated for result in given)
    found_text, texts = find_texts(
        [(row.values["data"], [r for _, given in found for r in given]) for row, found in tasks]
    )
    text = text_column or found_text
    if not labelled:
        return [Annotated(_input(row, text, text_column)) for row, _ in tasks]
    several = sorted(set(texts.values()))
    if len(several) > 1 and text_column is None:
        problems.append(
            f"{file_of(rows[0].source)}: spans lie in {len(several)} texts of a task "
            f"({listed(several)}), and a row has one; name it with --text-column"
        )
        return []
    unused: Counter[str] = Counter()
    unnamed: list[str] = []
    read = []
    for row, found in tasks:
        annotations: list[Annotation] = []
        given_input = _input(row, text, text_column)
        for annotation, given in found:
            given = results_of_text(given, texts, text, unused)
            try:
                check_places(given, given_input.values.get("text"))
                values = values_of(given, controls, label_column, related, unused)
            except ExportError as error:
                problems.append(f"{row.source}: {error}")
                break
            else:
                unescape(values.get("entities", ()), given_input.values.get("text"))
                unnamed += [row.source for _ in filter(is_unnamed, given)]
                annotations.append(Annotation(annotation.annotator, values, annotation.is_truth))
        read.append(Annotated(given_input, tuple(annotations)))
    if unused:
        told = ", ".join(f"{count:,} of {shown(kind)}" for kind, count in unused.most_common())
        notices.append(f"{file_of(rows[0].source)}: results that are not used: {told}")
    if unnamed:
        notices.append(
            f"{file_of(rows[0].source)}: {counted(len(unnamed), LABEL_STUDIO_RELATION)} without a "
            f"label read with the label {UNNAMED_RELATION}, first {unnamed[0]} (in relation "
            f"extraction, --exclude-label {UNNAMED_RELATION} leaves such pairs out)"
        )
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


def _input(row: Row, text: str | None, given: str | None) -> Row:
    data = dict(row.values["data"])
    if text is not None and text in data and text != "text":
        own = data[text] if given is not None else data.pop(text)
        data = {"text": own} | {("data.text" if n == "text" else n): v for n, v in data.items()}
    if row.values.get("id") is not None:
        data = {"id": row.values["id"]} | data
    return Row(data, row.source)
