"""Prodigy's yes-or-no questions about classes -> inputs with annotations."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.data.exports.annotated import Annotated, Annotation, text_of
from lowcost_ft.data.exports.prodigy_rows import annotator, input_of, tell_left_out
from lowcost_ft.data.rows import Row, counted, file_of, shown

__all__ = ["asks_for_classes", "read_questions"]


def asks_for_classes(rows: Sequence[Row]) -> bool:
    """Whether each row asks whether one label fits its text."""
    return all(
        text_of(row.values.get("label")) is not None
        and not row.values.get("spans")
        and "accept" not in row.values
        for row in rows
    ) and any(row.values.get("answer") in ("accept", "reject") for row in rows)


_Answers = dict[str, dict[str | None, dict[str, str]]]
"""Text -> annotator -> label -> answer."""


def _answers(
    rows: Sequence[Row], problems: list[str], notices: list[str]
) -> tuple[_Answers, dict[str, Row]]:
    """Answers by text, annotator and label, and the first row of each text."""
    given: _Answers = {}
    first: dict[str, Row] = {}
    places: dict[Any, str] = {}
    repeated: list[str] = []
    for row in rows:
        about = (row.values.get("_input_hash"), row.values.get("text"))
        key = row.source if about == (None, None) else str(about)
        who, label = annotator(row.values), row.values["label"].strip()
        answer = str(row.values.get("answer") or "accept")
        answers = given.setdefault(key, {}).setdefault(who, {})
        before = places.setdefault((key, who, label), row.source)
        if answers.setdefault(label, answer) != answer:
            problems.append(
                f'{row.source}: the answer to {shown(label)} is "{answer}", and {before} answers '
                f'"{answers[label]}" for the same text; delete one of the two'
            )
        elif before != row.source:
            repeated.append(row.source)
        first.setdefault(key, row)
    if repeated:
        notices.append(
            f"{file_of(repeated[0])}: {counted(len(repeated), 'row')} with the text, label and "
            f"answer of a row before read once, first {repeated[0]}"
        )
    return given, first


def read_questions(rows: Sequence[Row], problems: list[str], notices: list[str]) -> list[Annotated]:
    """Puts the questions about each text together.

    A text has the accepted labels where each text was asked for all; else its one accepted label.

    Args:
        rows: The rows of one file.
        problems: Gets a line for contradictory answers, and where labels are not known.
        notices: Gets a line for what is left out or put together.
    """
    file, all_rows = file_of(rows[0].source), rows
    rows = [row for row in rows if row.values.get("answer") != "ignore"]
    labels = sorted({row.values["label"].strip() for row in rows})
    before = len(problems)
    given, first = _answers(rows, problems, notices)
    if len(problems) > before:
        return []
    asked = [set(answers) for by in given.values() for answers in by.values()]
    whole = all(len(one) == len(labels) for one in asked)
    accepted = {
        key: {who: [x for x, answer in by.items() if answer == "accept"] for who, by in of.items()}
        for key, of in given.items()
    }
    dropped = ("ignore",) if whole else ("reject", "ignore")
    if out := [row for row in all_rows if row.values.get("answer") in dropped]:
        tell_left_out(out, notices)
    if not any(any(by.values()) for by in accepted.values()):
        problems.append(
            f"{file}: no row has been accepted by the annotator "
            f'("answer"); a file needs rows with "accept"'
        )
        return []
    if not whole:
        for key, by in accepted.items():
            if any(len(found) > 1 for found in by.values()):
                problems.append(
                    f"{first[key].source}: this text has {len(max(by.values(), key=len))} accepted "
                    f"labels, and other texts of the file were not asked for all {len(labels)} "
                    f"labels, so that what is missing there is unknown; ask for every label of "
                    f"every text, or use a choice task"
                )
                return []
    read = []
    for key, by in accepted.items():
        annotations = [
            Annotation(who or "", {"label": sorted(found) if whole else found[0]})
            for who, found in by.items()
            if whole or found
        ]
        if annotations:
            read.append(Annotated(input_of(first[key]), tuple(annotations)))
    if whole:
        notices.append(
            f"{file}: yes-or-no questions about {counted(len(labels), 'label')}; each text was "
            f"asked for all of them and has those that were accepted"
        )
    return read
