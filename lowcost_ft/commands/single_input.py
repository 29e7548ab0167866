"""The input of commands that take --text, --file or lines."""

import sys
from dataclasses import fields
from typing import Any

from lowcost_ft.config.reading import InputOptions, reading_of
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.run_input import (
    check_pairs,
    read_lines,
    read_unlabelled_file,
    text_examples,
)
from lowcost_ft.tasks import task_class

__all__ = ["input_of"]


def input_of(command: Any, run: dict[str, Any], flags: Any, notices: list[str]) -> list[Any]:
    """The examples that a command is about, read and checked.

    Args:
        command: The command, with `text` and `file`, and `json`.
        run: The content of `run.json`.
        flags: The flags of the run's task.
        notices: Gets a line for what the user should know.

    Raises:
        UserError: There is no input, two of them, or something is wrong in it.
    """
    if command.text is not None and command.file is not None:
        raise UserError("--text and --file cannot be used together: give one of them")
    if command.file is None:
        given = [f for f in fields(InputOptions) if getattr(command, f.name) != f.default]
        names = [f"--{'no-' * (f.default is True)}{f.name.replace('_', '-')}" for f in given]
        if names:
            raise UserError(f"{', '.join(names)}: for files; give one with --file, or leave it out")
    kind = task_class(run["task"])
    own = kind.flag_examples(flags, text=command.text, json=command.json)
    if own is not None:
        if command.file is not None:
            raise UserError("--file gives the input already: leave the other input out")
        check_pairs(run, own)
        return own
    if command.file is not None:
        reading = reading_of(command)
        return read_unlabelled_file(run, command.file, reading=reading, notices=notices)
    if command.text is not None:
        if not command.text.strip():
            raise UserError("--text is empty: give a text to predict")
        return text_examples(run, [command.text])
    if sys.stdin.isatty():
        print("Reading texts from standard input, one a line.", file=sys.stderr)
    data = sys.stdin.buffer.read()
    if not data.strip():
        raise UserError("standard input contains no text: give --text, --file, or lines")
    return read_lines(run, data, name="standard input")
