"""Prodigy's JSONL: spans, relations, choices and binary questions -> inputs with annotations."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.data.exports.annotated import Annotated, Annotation, ExportError, objects
from lowcost_ft.data.exports.prodigy_questions import asks_for_classes, read_questions
from lowcost_ft.data.exports.prodigy_rows import ANSWERS, annotator, input_of, tell_left_out
from lowcost_ft.data.exports.prodigy_spans import UNMARKED, read_relations, read_spans
from lowcost_ft.data.known_names import PRODIGY_YES_OR_NO_VIEWS
from lowcost_ft.data.rows import Row, counted, file_of, shown

__all__ = ["is_prodigy", "partial_problem", "read_inputs", "read_prodigy"]

_OWN = {"_input_hash", "_task_hash", "_session_id", "_view_id", "_annotator_id", "_is_binary"}
_BESIDE_ANSWER = {"spans", "accept", "options", "relations", "label", "tokens"}
_OF_OTHERS = {"entities", "ents", "tags", "ner_tags"}


def is_prodigy(values: Mapping[str, Any]) -> bool:
    """Whether a row is Prodigy's: by its hashes, its answer, or its tokens."""
    if any(values.get(name) is not None for name in _OWN):
        return True
    if values.get("answer") in ANSWERS and _BESIDE_ANSWER & set(values):
        return True
    if not _are_tokens(values.get("tokens")) or not isinstance(values.get("text"), str):
        return False
    # Other programs list tokens alike, and have their entities in columns that Prodigy lacks.
    return "spans" in values or _OF_OTHERS.isdisjoint(values)


def _are_tokens(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and {"text", "start", "end"} <= set(one) for one in value)
    )


def partial_problem(rows: Sequence[Row]) -> str | None:
    """Why yes-or-no questions about spans cannot be read; None where there are none.

    Newer versions mark them; the view of older ones shows one span, to accept or to reject. Before
    there were views, the spans that were asked about had the score of the model that found them.
    """
    marked = [row for row in rows if row.values.get("spans")]
    partial = [row for row in marked if _is_binary(row.values)]
    if marked and all(_is_one_answered_guess(row.values) for row in marked):
        partial = marked
    if not partial:
        return None
    return (
        f"{partial[0].source}: {counted(len(partial), 'row')} of yes-or-no questions about "
        f'spans ("_is_binary", or one span with a score): what is not marked there may still be an '
        f"entity, so that they cannot train tags; complete them in Prodigy (ner.manual, "
        f"ner.correct or ner.silver-to-gold) and export those"
    )


def _is_binary(values: Mapping[str, Any]) -> bool:
    marked = values.get("_is_binary")
    return marked is True or (marked is None and values.get("_view_id") in PRODIGY_YES_OR_NO_VIEWS)


def _is_one_answered_guess(values: Mapping[str, Any]) -> bool:
    spans = values["spans"]
    return (
        values.get("answer") is not None
        and values.get("_is_binary") is None
        and values.get("_view_id") is None
        and isinstance(spans, list)
        and len(spans) == 1
        and isinstance(spans[0], Mapping)
        and isinstance(spans[0].get("score"), int | float)
    )


def read_inputs(rows: Sequence[Row]) -> list[Annotated]:
    """The inputs alone, one for each row."""
    return [Annotated(input_of(row)) for row in rows]


def read_prodigy(
    rows: Sequence[Row], *, problems: list[str], notices: list[str]
) -> list[Annotated]:
    """Reads rows; what was rejected or ignored is left out, with a notice.

    Rows of one input by several annotators are its annotations. Yes-or-no questions about classes
    are put together: an input for which every label was asked has the accepted ones; else one
    accepted label is its class. Yes-or-no questions about spans say nothing of the rest of a text,
    which is a problem.

    Args:
        rows: The rows of one file.
        problems: Gets a line for each row that cannot be read, and for partial annotations.
        notices: Gets a line for what is left out.
    """
    if asks_for_classes(rows):
        return read_questions(rows, problems, notices)
    kept = _accepted(rows, problems, notices)
    if problem := partial_problem(kept):
        problems.append(problem)
        return []
    marked = any(row.values.get("spans") is not None for row in kept)
    related = any(row.values.get("relations") is not None for row in kept)
    chosen = any(isinstance(row.values.get("accept"), list) for row in kept)
    several = any(
        isinstance(row.values.get("accept"), list) and len(row.values["accept"]) > 1 for row in kept
    )
    read: dict[Any, tuple[Row, list[Annotation]]] = {}
    bare: list[str] = []
    times: Counter[Any] = Counter()
    for number, row in enumerate(kept):
        try:
            values = _annotation(row.values, marked or not chosen, related, chosen, several)
        except ExportError as error:
            problems.append(f"{row.source}: {error}")
            continue
        bare += [row.source for one in values.get("entities", ()) if one["label"] == UNMARKED]
        who, known = annotator(row.values), row.values.get("_input_hash") not in (None, "")
        key = str(row.values.get("_input_hash")), row.values["text"]
        # What the same annotator labelled once more is a row of its own.
        place = number if not known or who is None else (key, times[key, who])
        times[key, who] += 1
        read.setdefault(place, (input_of(row), []))[1].append(Annotation(who or "", values))
    if bare and related:
        notices.append(
            f"{file_of(bare[0])}: {counted(len(bare), 'word')} that a relation names and no span "
            f'marks read as an entity of the type "{UNMARKED}", first {bare[0]}'
        )
    return [Annotated(row, tuple(annotations)) for row, annotations in read.values()]


def _accepted(rows: Sequence[Row], problems: list[str], notices: list[str]) -> list[Row]:
    for row in rows:
        if (answer := row.values.get("answer")) not in (*ANSWERS, None):
            problems.append(
                f'{row.source}: "answer" is {shown(answer)}; it must be one of accept, reject and '
                f"ignore"
            )
    out = [row for row in rows if row.values.get("answer") in ("reject", "ignore")]
    if not out:
        return list(rows)
    tell_left_out(out, notices)
    kept = [row for row in rows if row.values.get("answer") not in ("reject", "ignore")]
    if not kept:
        problems.append(
            f"{file_of(out[0].source)}: no row has been accepted by the annotator "
            f'("answer"); a file needs rows with "accept"'
        )
    return kept


def _annotation(
    values: Mapping[str, Any], marked: bool, related: bool, chosen: bool, several: bool
) -> dict[str, Any]:
    if not isinstance(values.get("text"), str):
        what = next((n for n in ("html", "image", "audio", "video") if n in values), None)
        raise ExportError(
            'has no "text"' + (f" but {shown(what)}" if what else "") + "; give rows with texts"
        )
    found: dict[str, Any] = {}
    if marked:
        found["entities"] = read_spans(values)
    if related:
        found["entities"] = found.get("entities") or []
        found["relations"] = read_relations(values, found["entities"])
    if chosen:
        found["label"] = _choice(values, several)
    elif "label" in values:
        found["label"] = values["label"]
    return found


def _choice(values: Mapping[str, Any], several: bool) -> Any:
    accepted = values.get("accept")
    if accepted is None:
        return [] if several else None
    if not isinstance(accepted, list):
        raise ExportError(f'"accept" is {shown(accepted)}, not a list of the options chosen')
    known = [option.get("id") for option in objects(values.get("options"), "options")]
    if unknown := [one for one in accepted if known and one not in known]:
        raise ExportError(
            f'"accept" names the option {shown(unknown[0])}, which is not one of "options"'
        )
    style = (
        values["config"].get("choice_style") if isinstance(values.get("config"), Mapping) else ""
    )
    if not accepted and not several and style != "multiple":
        return None
    return [str(one) for one in accepted]
