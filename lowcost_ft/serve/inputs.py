"""What requests ask about -> examples of a model's task, with their sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.data.python_rows import read_python_rows
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.run_input import check_pairs, text_examples
from lowcost_ft.serve.errors import RequestError, unprocessable
from lowcost_ft.serve.limits import Limits
from lowcost_ft.serve.models import ServedModel
from lowcost_ft.tasks import task_class

__all__ = ["Input", "check_size", "read_inputs"]

Input = str | Sequence[str] | Mapping[str, Any]
"""One input: a text, a pair of texts, or fields with their texts."""

MOST_NESTED = 8
"""Levels of lists and fields in an input; entities of a text need three."""

SLOW_CHARACTERS = 4_000
"""From here on reading takes long enough to be done beside the event loop."""


def check_size(inputs: Sequence[Input], limits: Limits) -> list[int]:
    """Characters of each input.

    Raises:
        RequestError: There are too many, or none, or one is too long.
    """
    if not inputs:
        raise RequestError(400, "Empty", "`inputs` is empty: give at least one text")
    if len(inputs) > limits.texts:
        raise RequestError(
            413,
            "Validation",
            f"{len(inputs):,} inputs are more than the {limits.texts:,} of one request: send "
            f"several requests",
        )
    sizes = []
    for number, one in enumerate(inputs, 1):
        size = _characters(one)
        if size > limits.characters:
            raise RequestError(
                413,
                "Validation",
                f"input {number} has {size:,} characters, more than {limits.characters:,}: cut it "
                f"into several",
            )
        sizes.append(size)
    return sizes


def _characters(value: Any, depth: int = 0) -> int:
    if isinstance(value, str):
        return len(value)
    if depth > MOST_NESTED:
        raise unprocessable(f"an input is nested more than {MOST_NESTED} levels deep")
    if isinstance(value, Mapping):
        return sum(_characters(one, depth + 1) for one in value.values())
    if isinstance(value, list | tuple):
        return sum(_characters(one, depth + 1) for one in value)
    return 1


def read_inputs(model: ServedModel, inputs: Sequence[Input]) -> list[Any]:
    """Examples of the model's task.

    Raises:
        RequestError: An input is not what the model takes.
    """
    run = model.predictor.run
    try:
        return _examples(run, inputs)
    except UserError as error:
        raise unprocessable(str(error)) from None


def _examples(run: Mapping[str, Any], inputs: Sequence[Input]) -> list[Any]:
    kind = task_class(run["task"])
    fields = kind.input_fields(run)
    if all(isinstance(one, str) for one in inputs):
        if len(fields) > 1:
            raise UserError(f"this model takes {' and '.join(fields)}, not one text: give both")
        return text_examples(run, inputs)
    rows: list[Mapping[str, Any]] = []
    for number, one in enumerate(inputs, 1):
        if isinstance(one, Mapping):
            rows.append(one)
            continue
        texts = [one] if isinstance(one, str) else list(one)
        if len(texts) != len(fields):
            raise UserError(
                f"input {number} has {len(texts)} texts; this model takes {len(fields)}: "
                f"{', '.join(fields)}"
            )
        rows.append(dict(zip(fields, texts, strict=True)))
    if all(set(row) == set(fields) for row in rows):
        columns = [[row[name] for row in rows] for name in fields]
        return text_examples(run, *columns)
    return _from_rows(run, rows, fields)


def _from_rows(
    run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], fields: Sequence[str]
) -> list[Any]:
    """Examples of inputs that have other fields, which only some tasks read."""
    kind = task_class(run["task"])
    known = {*fields, *kind.more_input_fields}
    for number, row in enumerate(rows, 1):
        if unknown := [name for name in row if name not in known]:
            raise UserError(
                f"input {number}: this model does not take {', '.join(map(repr, unknown))}; it "
                f"takes {', '.join(fields)}"
                + (f" and {', '.join(kind.more_input_fields)}" if kind.more_input_fields else "")
            )
        if missing := [name for name in fields if name not in row]:
            raise UserError(f"input {number} lacks {', '.join(missing)}")
    if len({frozenset(row) for row in rows}) > 1:
        raise UserError("the inputs have different fields: send them in several requests")
    problems: list[str] = []
    usual = kind.recorded_reading(run)
    # The columns of the training file, which a request does not have.
    columns: dict[str, Any] = {name: None for name in vars(usual) if name.endswith("_column")}
    reading = replace(usual, **columns)
    read = read_python_rows(list(rows), "inputs", problems)
    examples = kind.read(read, reading, problems=problems, notices=[], labelled=False)
    if not problems and len(examples) != len(rows):
        problems.append("some of the inputs cannot be read")
    if problems:
        raise UserError(problems)
    check_pairs(run, examples)
    return examples
