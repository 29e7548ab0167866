"""What a trained model is used on: examples of a file, of rows in Python, or of lines of text."""

from collections import deque
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from lowcost_ft.config.arguments import to_path
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.answers import accepted_rows
from lowcost_ft.data.exports.reading import read_export
from lowcost_ft.data.known_labels import look_alikes
from lowcost_ft.data.python_rows import Rows, read_python_rows
from lowcost_ft.data.readers import read_lines, read_rows
from lowcost_ft.data.rows import Row, column_names
from lowcost_ft.errors import UserError
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.problems import argument_problems, capped

__all__ = ["line_examples", "read_examples", "read_examples_file", "read_text_lines"]

_FLAGS_OF_LABELS = ("--annotations", "--discontinuous", "--entity-offsets")
_COLUMN_FIELDS = [f.name for f in fields(ReadingOptions) if f.name.endswith("_column")]


def read_examples_file(
    task: str,
    path: str,
    *,
    reading: ReadingOptions | None = None,
    usual: ReadingOptions | None = None,
    labelled: bool,
    labels: Sequence[str] | None = None,
    notices: list[str] | None = None,
) -> list[Any]:
    """Examples of one file, for a model that is already trained.

    Args:
        task: Name of a task.
        path: A file of any kind that `read_rows` reads.
        reading: How the file is read; None: all is guessed.
        usual: How the model's training data was read: its columns are taken instead of a guess
            where the file has them.
        labelled: Whether to read labels; if not, the examples' tags or labels are None.
        labels: Labels of the trained model; needed when `labelled`, as is `problem_type` in
            `reading` for text classification.
        notices: Gets a line for what the user should know; None: those are not wanted.

    Raises:
        UserError: Every problem in the file.
    """
    kind = task_class(task)
    problems: list[str] = []
    notices = [] if notices is None else notices
    reading = reading or ReadingOptions()
    problems += argument_problems(task, reading, None, None)
    if problems:
        raise UserError(problems)
    rows = read_rows(
        to_path(path, "path"),
        problems,
        notices,
        reading,
        usual=usual,
        labelled=labelled,
        words=kind.reads_words,
    )
    if kind.asks_about_entities and not labelled and not problems:
        rows = _with_entities(rows, path, reading, problems)
    if labelled:
        rows = accepted_rows(rows, reading, problems=problems, notices=notices)
    elif rows and rows[0].is_line:
        problems += _unused_columns(path, reading)
        examples = line_examples(task, rows, problems, usual)
        if problems:
            raise UserError(capped(problems), total=len(problems))
        return examples
    if usual is not None:
        reading = _with_usual(reading, usual, column_names(rows))
    told: list[str] = []
    examples = kind.read(rows, reading, problems=problems, notices=told, labelled=labelled)
    notices += told if labelled else map(_told_of_inputs, told)
    if labelled and examples:
        assert labels is not None, "labelled examples are read for the labels of a model"
        splits, _, _ = kind.finish(
            {"test": examples},
            reading=reading,
            labels=labels,
            problems=problems,
            notices=notices,
        )
        if not problems:
            notices += look_alikes(splits, kind.classes)
        examples = splits["test"]
    if problems and not labelled:
        problems = [_told_of_inputs(problem) for problem in problems]
    if problems:
        raise UserError(capped(problems), total=len(problems))
    return examples


def _unused_columns(path: str, reading: ReadingOptions) -> list[str]:
    """What is wrong where columns are named of a file that has none."""
    given = [
        f"--{name.replace('_', '-')}"
        for name in _COLUMN_FIELDS
        if getattr(reading, name) not in (None, "text")
    ]
    if not given:
        return []
    return [
        f"{path}: has one text a line and no columns: leave out {', '.join(given)}, or say with "
        "--format what it is"
    ]


def _told_of_inputs(problem: str) -> str:
    """A message whose remedy is a flag that commands for unlabelled inputs do not have."""
    flag = next((name for name in _FLAGS_OF_LABELS if name in problem), None)
    if flag is None:
        return problem
    return (
        f"{problem}; {flag} is a flag of lowcost-ft convert, which writes the file anew as JSONL: "
        f"give what it wrote"
    )


def _with_entities(
    rows: list[Row], path: str, reading: ReadingOptions, problems: list[str]
) -> list[Row]:
    """Rows of a labelling tool's export with their entities; other rows as they are."""
    if any("entities" in row.values or row.is_line for row in rows):
        return rows
    faults: list[str] = []
    annotated = read_rows(path, faults, [], reading)
    if not any(row.values.get("entities") for row in annotated):
        return rows
    problems += faults
    # What nobody annotated is missing there, and the order is the same.
    waiting = deque(annotated)
    given = []
    for row in rows:
        entities: list[Any] = []
        if waiting and _is_of(waiting[0], row):
            entities = waiting.popleft().values.get("entities") or []
        given.append(replace(row, values=row.values | {"entities": entities}))
    return given


def _is_of(annotated: Row, row: Row) -> bool:
    """Whether an annotated row is that of an input; several rows may stand in one line."""
    # Words are missing from those whose entities overlap.
    same = (annotated.values.get(name, value) == value for name, value in row.values.items())
    return annotated.source == row.source and all(same)


def read_examples(
    task: str, rows: Rows, split: str, *, reading: ReadingOptions, labels: Sequence[str]
) -> list[Any]:
    """Labelled examples of rows in Python, for a model that is already trained.

    Args:
        task: Name of a task.
        rows: The rows.
        split: What messages call them.
        reading: How they are read.
        labels: Labels of the trained model.

    Raises:
        UserError: Every problem in the rows.
    """
    kind, problems = task_class(task), list[str]()
    read = read_python_rows(rows, split, problems)
    read = read_export(read, reading, labelled=True, problems=problems, notices=[])
    examples = kind.read(read, reading, problems=problems, notices=[])
    splits = {split: examples}
    if examples and not problems:
        splits, _, _ = kind.finish(
            splits, reading=reading, labels=labels, problems=problems, notices=[]
        )
    if problems:
        raise UserError(capped(problems), total=len(problems))
    return splits[split]


def read_text_lines(
    task: str, name: str, data: bytes, *, usual: ReadingOptions | None = None
) -> list[Any]:
    """Unlabelled examples of texts that come one a line, for a model that is already trained.

    Args:
        task: Name of a task.
        name: What to call the source in messages, such as "standard input".
        data: The bytes.
        usual: How the model's training data was read.

    Returns:
        An example for each line; that of a blank line has no text.

    Raises:
        UserError: Every line that is not a text, by its number.
    """
    problems: list[str] = []
    examples = line_examples(task, read_lines(name, data, problems), problems, usual)
    if problems:
        raise UserError(capped(problems), total=len(problems))
    return examples


def line_examples(
    task: str, rows: Sequence[Row], problems: list[str], usual: ReadingOptions | None = None
) -> list[Any]:
    """Unlabelled examples of rows `{"text": ...}` that were lines of a file.

    A blank line becomes an example without text, so that line and answer have one number.
    """
    kind = task_class(task)
    filled = [row for row in rows if row.values["text"].strip()]
    reading = ReadingOptions(text_column="text")
    if usual is not None:
        reading = replace(reading, word_splitting=usual.word_splitting)
    read = iter(kind.read(filled, reading, problems=problems, notices=[], labelled=False))
    if problems:
        return []
    return [next(read) if row.values["text"].strip() else kind.blank(row) for row in rows]


def _with_usual(
    given: ReadingOptions, usual: ReadingOptions, names: Sequence[str]
) -> ReadingOptions:
    chosen = {name: getattr(given, name) for name in _COLUMN_FIELDS}
    for name in chosen:
        # Words and a text exclude each other.
        other = {"text_column": "tokens_column", "tokens_column": "text_column"}.get(name)
        taken = chosen[name] is not None or (other is not None and chosen[other] is not None)
        if not taken and getattr(usual, name) in names:
            chosen[name] = getattr(usual, name)
    chosen["word_splitting"] = usual.word_splitting
    return replace(given, **chosen, **_usual_labels(given, usual, names))


def _usual_labels(
    given: ReadingOptions, usual: ReadingOptions, names: Sequence[str]
) -> dict[str, Any]:
    """How labels are written, and in which languages, as training read them if nothing is given."""
    fields_ = (
        *("label_names", "label_separator", "decimal_comma", "exclude_label"),
        *("negative_label", "pair_window", "source_language", "target_language"),
    )
    chosen = {
        name: getattr(usual, name)
        if getattr(given, name) in (None, False)
        else getattr(given, name)
        for name in fields_
    }
    columns = usual.label_columns
    if columns is not None and given.label_columns is None and given.label_column is None:
        wanted = [name.strip() for name in columns.split(",") if name.strip()]
        chosen |= {"label_columns": columns} if set(wanted) <= set(names) else {}
    return chosen
