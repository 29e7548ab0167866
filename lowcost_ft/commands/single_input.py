"""The input of commands that take --text, --file or lines, and the page that they write."""

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from lowcost_ft.config.reading import InputOptions, reading_of
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.run_input import (
    check_pairs,
    read_lines,
    read_unlabelled_file,
    text_examples,
)
from lowcost_ft.record.overwriting import check_not_read
from lowcost_ft.tasks import task_class

__all__ = ["input_of", "output_problem"]


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


def output_problem(path: str | None, **reads: str | None) -> list[str]:
    """What is wrong with the name of a page.

    Args:
        path: The page; None where none is written.
        reads: The files that are read, by the name of their flag.

    Raises:
        UserError: It is one of these.
    """
    if path is None:
        return []
    if not path.lower().endswith(".html"):
        return [f"--output {path}: the name must end in .html"]
    if Path(path).is_dir() or not Path(path).absolute().parent.is_dir():
        return [f"--output {path}: name a file in a folder that exists"]
    named = {f"--{name.replace('_', '-')}": file for name, file in reads.items()}
    check_not_read("--output", path, replaced=[Path(path)], reads=named)
    return []
