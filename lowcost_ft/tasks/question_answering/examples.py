"""Rows -> questions about a text, with the answers that stand in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.decoding import binary_fault, decode
from lowcost_ft.data.known_names import ANSWER_NAMES, CONTEXT_NAMES, QUESTION_NAMES
from lowcost_ft.data.rows import (
    Row,
    blank_notice,
    blank_rows,
    column_names,
    counted,
    file_of,
    find_column,
    read_id,
    read_text,
    shown,
    text_fault,
)
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.question_answering.flags import AskingFlags
from lowcost_ft.tasks.question_answering.marked_answers import are_marked, with_marked_answers
from lowcost_ft.tasks.question_answering.row_answers import Answer, read_answers

__all__ = ["QuestionExample", "flag_examples", "read_examples"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionExample:
    """A question about a text.

    Attributes:
        question: The question.
        context: The text.
        answers: What is right: any one of them; empty where the text does not answer the
            question; None where that is not known.
        title: The article that the text is from, where the input says that.
        source: File and line.
        row_id: What the row's column "id" holds, to be told beside the answer.
    """

    question: str
    context: str
    answers: tuple[Answer, ...] | None
    title: str | None = None
    source: str
    row_id: str | int | float | None = None


def read_examples(
    rows: Sequence[Row],
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
    labelled: bool = True,
) -> list[QuestionExample]:
    """Reads one split's rows.

    Args:
        rows: Rows of one file or split.
        reading: Which columns are which; what is not given is guessed.
        problems: Gets a line for each problem.
        notices: Gets a line for guessed columns, and for answers whose place was looked up.
        labelled: Whether to read answers.

    Returns:
        The examples without problems.
    """
    if not rows:
        return []
    if "context" not in rows[0].values and set(rows[0].values) == {"text"}:
        problems.append(
            f"{file_of(rows[0].source)}: a question needs the text that it is about: give a file "
            'with both, such as lines of {"question": ..., "context": ...}, or --question and '
            "--context"
        )
        return []
    found = {"problems": problems, "notices": notices}
    before = len(problems)
    question = find_column(rows, reading.question_column, QUESTION_NAMES, "question", **found)
    marked = labelled and are_marked(rows, reading.answers_column)
    texts = CONTEXT_NAMES if not marked else ("text", *CONTEXT_NAMES)  # Exports mark in "text".
    context = find_column(rows, reading.context_column, texts, "context", **found)
    answers = None
    if marked and context is not None:
        rows = with_marked_answers(rows, context, **found)
    if labelled and (reading.answers_column is not None or not _say_impossible_alone(rows)):
        answers = find_column(rows, reading.answers_column, ANSWER_NAMES, "answers", **found)
    if question is None or context is None or len(problems) > before:
        return []
    used = [name for name in (question, context, answers) if name is not None]
    if len(set(used)) < len(used):
        problems.append(
            f"{file_of(rows[0].source)}: one column is used twice: {', '.join(map(shown, used))}"
        )
        return []
    both = zip(blank_rows(rows, question), blank_rows(rows, context), strict=True)
    blank = [not labelled and any(pair) for pair in both]
    notices += blank_notice(rows, blank)
    examples, looked_up = [], []
    for row, is_blank in zip(rows, blank, strict=True):
        before = len(problems)
        asked = _text(row, question, is_blank, problems)
        text = _text(row, context, is_blank, problems)
        right = None
        if labelled and text is not None:
            given, right = read_answers(row, answers, text, problems)
            if not given and len(problems) == before:
                looked_up.append(row.source)
        if asked is not None and text is not None and len(problems) == before:
            title = row.values.get("title")
            examples.append(
                QuestionExample(
                    question=asked,
                    context=text,
                    answers=right,
                    title=title if isinstance(title, str) and title.strip() else None,
                    source=row.source,
                    row_id=read_id(row, used),
                )
            )
    if looked_up:
        notices.append(
            f"{file_of(looked_up[0])}: the answers of {counted(len(looked_up), 'row')} do not say "
            f"where they start, and stand in their text once: they are taken there, first "
            f"{looked_up[0]}"
        )
    return examples


def flag_examples(flags: AskingFlags, text: str | None) -> list[QuestionExample] | None:
    """The example of `--question` with `--context` or `--context-file`; None without them.

    Raises:
        UserError: One of them is missing, empty or cannot be read.
    """
    given = [flags.context, flags.context_file]
    if flags.question is None and given == [None, None]:
        return None
    problems = []
    if text is not None:
        problems.append("--text is not for question answering: give --question and --context")
    if flags.question is None:
        flag = "--context" if flags.context_file is None else "--context-file"
        problems.append(
            f"{flag} is the text of one --question: give that, or a --file whose rows hold a "
            "question and its text each"
        )
    elif fault := text_fault(flags.question):
        problems.append(f"--question {fault}")
    if given.count(None) != 1:
        problems.append("--question needs one text: give --context or --context-file")
    context, source = flags.context, "--context"
    if flags.context_file is not None:
        context, source = "", flags.context_file
        try:
            data = Path(flags.context_file).read_bytes()
        except OSError as error:
            problems.append(f"--context-file {flags.context_file}: {error.strerror}")
        else:
            fault = binary_fault(data)
            problems += [f"{flags.context_file}: {fault}"] if fault else []
            context = "" if fault else decode(flags.context_file, data, problems)
    if not problems and (fault := text_fault(context)):
        problems.append(f"{source} {fault}")
    if problems:
        raise UserError(problems)
    assert flags.question is not None and context is not None
    return [QuestionExample(question=flags.question, context=context, answers=None, source=source)]


def _text(row: Row, column: str, may_be_blank: bool, problems: list[str]) -> str | None:
    value = row.values.get(column)
    if may_be_blank and (value in (None, []) or (isinstance(value, str) and not value.strip())):
        return ""
    return read_text(row, column, problems)


def _say_impossible_alone(rows: Sequence[Row]) -> bool:
    """Whether no question has an answer, so that no column for them is needed."""
    named = not set(ANSWER_NAMES).isdisjoint(column_names(rows))
    return not named and all(row.values.get("is_impossible") is True for row in rows)
