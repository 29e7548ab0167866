"""Questions as `convert` reads and writes them: with their answers, or with these marked."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.exports.writing import Canonical
from lowcost_ft.data.known_names import ANSWER_NAMES, CONTEXT_NAMES, QUESTION_NAMES, TEXT_NAMES
from lowcost_ft.data.rows import Row, column_names, file_of, find_column
from lowcost_ft.tasks.question_answering.examples import read_examples
from lowcost_ft.tasks.question_answering.reading import QuestionReading

__all__ = ["is_question", "open_questions", "question_rows", "with_marks"]

_MARK = "answer"
"""The label of a marked answer."""


def question_rows(
    rows: Sequence[Row],
    reading: ReadingOptions,
    labelled: bool,
    *,
    problems: list[str],
    notices: list[str],
) -> list[dict[str, Any]] | None:
    """Rows that hold a question, its text and the answers.

    Args:
        rows: The rows of one file.
        reading: How they are read.
        labelled: Whether answers are wanted.
        problems: Gets a line for each row that cannot be read.
        notices: Gets a line for guesses.

    Returns:
        `{"id"?, "title"?, "question", "context", "answers"}` with the other fields of each row;
        None where the rows are not such questions.
    """
    # Marked answers are entities already, which every form keeps beside the question.
    if "entities" in column_names(rows) or not QuestionReading.is_meant(rows, reading):
        return None
    lists: dict[str, Any] = {"problems": problems, "notices": notices}
    examples = read_examples(rows, reading, labelled=labelled, **lists)
    if problems:
        return []
    quiet: dict[str, Any] = {"problems": [], "notices": []}
    used = {
        find_column(rows, reading.question_column, QUESTION_NAMES, "question", **quiet),
        find_column(rows, reading.context_column, CONTEXT_NAMES, "context", **quiet),
        find_column(rows, reading.answers_column, ANSWER_NAMES, "answers", **quiet),
        *("answer_start", "start", "is_impossible"),
    }
    found = []
    for row, example in zip(rows, examples, strict=True):
        values: dict[str, Any] = {n: row.values[n] for n in ("id", "title") if n in row.values}
        values |= {"question": example.question, "context": example.context}
        if example.answers is not None and labelled:
            values["answers"] = {
                "text": [answer.text for answer in example.answers],
                "answer_start": [answer.start for answer in example.answers],
            }
        others = {n: v for n, v in row.values.items() if n not in used and n not in values}
        found.append(values | others)
    return found


def open_questions(
    rows: Sequence[Row], reading: ReadingOptions, problems: list[str], notices: list[str]
) -> tuple[list[dict[str, Any]], list[Row]] | None:
    """Questions that somebody shall answer, each beside the text that holds the answer.

    Args:
        rows: The rows of one file, with or without answers.
        reading: How they are read.
        problems: Gets a line if a column that was named is missing.
        notices: Gets a line for the guess.

    Returns:
        `{"id"?, "text", "question"}` with the other fields of each row but its answers, and the
        rows that have both texts; None where the rows are not questions about a text.
    """
    named = reading.question_column is not None or reading.context_column is not None
    quiet: dict[str, Any] = {"problems": [], "notices": []}
    lists = {"problems": problems, "notices": notices} if named else quiet
    # Any text may be called "text" or "document".
    usual = [name for name in CONTEXT_NAMES if name not in ("text", "document")]
    question = find_column(rows, reading.question_column, QUESTION_NAMES, "question", **lists)
    context = find_column(rows, reading.context_column, usual, "context", **lists)
    text = find_column(rows, reading.text_column, TEXT_NAMES, "text", **quiet)
    if question is None or context is None or not (named or text == question):
        return None
    taken = [
        row
        for row in rows
        if all(str(row.values.get(n) or "").strip() for n in (question, context))
    ]
    if not taken:
        return None
    if not named:
        notices.append(
            f'{file_of(rows[0].source)}: columns "{question}" and "{context}" read as questions '
            "and the texts that they are about (--text-column alone reads one text)"
        )
    used = {question, context, *ANSWER_NAMES, reading.answers_column, "answer_start", "text"}
    found = []
    for row in taken:
        values: dict[str, Any] = {"id": row.values["id"]} if "id" in row.values else {}
        values |= {"text": str(row.values[context]), "question": str(row.values[question])}
        found.append(values | {n: v for n, v in row.values.items() if n not in {*used, *values}})
    return found, taken


def is_question(row: Canonical) -> bool:
    """Whether `question_rows` wrote the row."""
    return "question" in row and "context" in row and "text" not in row


def with_marks(rows: Sequence[Canonical]) -> list[dict[str, Any]]:
    """The same rows with the answers marked in `text`, the only form that tools import.

    Args:
        rows: What `question_rows` gave.
    """
    found = []
    for row in rows:
        kept = {n: v for n, v in row.items() if n not in ("context", "answers")}
        kept["text"] = row["context"]
        if "answers" in row:
            texts, starts = row["answers"]["text"], row["answers"]["answer_start"]
            # Several annotators may have given the same answer.
            places = dict.fromkeys(
                (start, start + len(text)) for text, start in zip(texts, starts, strict=True)
            )
            kept["entities"] = [
                {"id": f"T{number}", "start": start, "end": end, "label": _MARK}
                for number, (start, end) in enumerate(places, 1)
            ]
        found.append(kept)
    return found
