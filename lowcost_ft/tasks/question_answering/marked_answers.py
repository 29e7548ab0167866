"""Answers that are marked in the text of a question, as Label Studio's projects have them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.data.known_names import ANSWER_NAMES
from lowcost_ft.data.rows import Row, column_names, counted, file_of, listed

__all__ = ["are_marked", "with_marked_answers"]

_SPANS = "entities"


def are_marked(rows: Sequence[Row], answers_column: str | None) -> bool:
    """Whether answers are spans of the text: rows have spans, and no column of answers."""
    names = column_names(rows)
    return answers_column is None and _SPANS in names and set(ANSWER_NAMES).isdisjoint(names)


def with_marked_answers(
    rows: Sequence[Row], context: str, *, problems: list[str], notices: list[str]
) -> list[Row]:
    """Rows with the spans of their text as `answers`; one without a span has no answer.

    Args:
        rows: The rows of one file.
        context: The column of the text.
        problems: Gets a line where spans cannot be answers.
        notices: Gets a line that counts them.
    """
    found: list[Row] = []
    labels: dict[str, None] = {}
    count = 0
    for row in rows:
        spans = row.values.get(_SPANS)
        text = row.values.get(context)
        if not isinstance(spans, list | tuple) or not isinstance(text, str):
            found.append(row)  # Without answers: told as such.
            continue
        answers = []
        for span in spans:
            start, end, label = _parts(span)
            if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
                problems.append(
                    f"{row.source}: the answer {start}..{end} does not lie in its text of "
                    f"{len(text)} characters; correct start and end"
                )
                continue
            own = span.get("text") if isinstance(span, dict) else None
            marked = text[start:end] if not isinstance(own, str) else own
            start += len(marked) - len(marked.lstrip())
            answers.append({"text": marked.strip(), "start": start})
            labels[str(label)] = None
        count += len(answers)
        found.append(replace(row, values=row.values | {"answers": answers}))
    file = file_of(rows[0].source)
    if len(labels) > 1:
        problems.append(
            f"{file}: no column for the answers, and the spans of its texts have several labels "
            f"({listed(list(labels))}), so that not all can be answers; give the answers in the "
            f'layout of SQuAD, or as {{"question", "context", "answers"}}'
        )
    elif count:
        spans_of = f"{counted(count, 'span')} labelled {listed(list(labels))}"
        notices.append(f"{file}: {spans_of} read as the answers to the questions of its rows")
    return found


def _parts(span: Any) -> tuple[Any, Any, Any]:
    if isinstance(span, dict):
        return span.get("start"), span.get("end"), span.get("label")
    if isinstance(span, list | tuple) and len(span) == 3:
        return span[0], span[1], span[2]
    return None, None, None
