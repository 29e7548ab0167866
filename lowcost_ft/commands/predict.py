"""`lowcost-ft predict`: answers of a saved run."""

import json
import sys
from dataclasses import dataclass, fields
from typing import Any

from lowcost_ft.commands.saved_run import (
    RunFolder,
    UseOfRun,
    check_threads,
    open_run,
    print_notices,
)
from lowcost_ft.config.reading import InputOptions, reading_of
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.run_input import read_lines, read_unlabelled_file, text_examples
from lowcost_ft.record.run_file import load_run

__all__ = ["Predict", "predict"]


@dataclass(frozen=True, kw_only=True)
class Predict(UseOfRun):
    """Predict texts from the command line, a file, or standard input (one text a line)."""

    run: RunFolder
    """Folder of a completed run."""
    text: str | None = None
    """The text to predict."""
    text_pair: str | None = None
    """The second text of a pair, beside --text."""
    file: str | None = None
    """File of examples in any format that training reads, or of one text a line; labels are not
    needed."""
    threshold: float | None = None
    """Multi-label: give the labels with this score or a higher one. Default: the thresholds that
    training chose by the validation split."""
    top_k: int | None = None
    """With --json: how many labels with their scores each line has under "scores". Default: all
    where a text can have several labels, none else."""


def predict(command: Predict) -> None:
    """Prints an answer for each input.

    Raises:
        UserError: A flag, the input or the run is wrong.
    """
    if command.text is not None and command.file is not None:
        raise UserError("--text and --file cannot be used together: give one of them")
    if command.text_pair is not None and command.text is None:
        raise UserError("--text-pair needs --text")
    if command.top_k is not None and not command.json:
        raise UserError("--top-k needs --json")
    if command.file is None:
        given = [f for f in fields(InputOptions) if getattr(command, f.name) != f.default]
        flags = [f"--{'no-' * (f.default is True)}{f.name.replace('_', '-')}" for f in given]
        if flags:
            raise UserError(f"{', '.join(flags)}: for files; give one with --file, or leave it out")
    check_threads(command)
    notices: list[str] = []
    examples = _input(command, load_run(command.run), notices)
    predictor = open_run(command, notices)
    answers = predictor.predict(examples)
    print_notices(predictor)
    for answer in answers:
        if command.json:
            print(json.dumps(answer, ensure_ascii=False))
        else:
            print(_as_text(answer, predictor.task))


def _input(command: Predict, run: dict[str, Any], notices: list[str]) -> list[Any]:
    """What is to be predicted, read and checked."""
    if command.file is not None:
        reading = reading_of(command)
        return read_unlabelled_file(run, command.file, reading=reading, notices=notices)
    if command.text is not None:
        if not command.text.strip():
            raise UserError("--text is empty: give a text to predict")
        pairs = None if command.text_pair is None else [command.text_pair]
        return text_examples(run, [command.text], pairs)
    if sys.stdin.isatty():
        print("Reading texts from standard input, one a line.", file=sys.stderr)
    data = sys.stdin.buffer.read()
    if not data.strip():
        raise UserError("standard input contains no text: give --text, --file, or lines")
    return read_lines(run, data, name="standard input")


def _as_text(answer: dict[str, Any], task: Any) -> str:
    if not str(answer.get("text", "-")).strip():
        return ""  # A blank line for a blank line: their numbers stay the same.
    return str(task.answer_text(answer))
