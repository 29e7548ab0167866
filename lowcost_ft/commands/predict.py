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
from lowcost_ft.pipeline.answer_scores import score_notices, withheld
from lowcost_ft.pipeline.run_input import (
    check_pairs,
    read_lines,
    read_unlabelled_file,
    text_examples,
)
from lowcost_ft.record.run_file import load_run
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.flags import own_flags

__all__ = ["Predict", "predict"]


@dataclass(frozen=True, kw_only=True)
class Predict(UseOfRun):
    """Predict texts from the command line, a file, or standard input (one text a line)."""

    run: RunFolder
    """Folder of a completed run."""
    text: str | None = None
    """The text to predict."""
    file: str | None = None
    """File of examples in any format that training reads, or of one text a line; labels are not
    needed."""
    min_score: float | None = None
    """Withhold answers whose score is lower, from 0 to 1. Validation data says how many are left,
    and how many of these are right."""


def predict(command: Predict) -> None:
    """Prints an answer for each input.

    Raises:
        UserError: A flag, the input or the run is wrong.
    """
    if command.text is not None and command.file is not None:
        raise UserError("--text and --file cannot be used together: give one of them")
    if command.file is None:
        given = [f for f in fields(InputOptions) if getattr(command, f.name) != f.default]
        flags = [f"--{'no-' * (f.default is True)}{f.name.replace('_', '-')}" for f in given]
        if flags:
            raise UserError(f"{', '.join(flags)}: for files; give one with --file, or leave it out")
    check_threads(command)
    notices: list[str] = []
    run = load_run(command.run)
    flags = own_flags(run["task"], command.of_tasks)
    _check_min_score(command.min_score, run)
    examples = _input(command, run, flags, notices)
    predictor = open_run(command, notices)
    kept = predictor.task.keeps_adapter(flags)
    answers = predictor.task.predict_answers(
        predictor,
        examples,
        flags,
        open_run=lambda folder: open_run(command, folder=folder, keep_adapter=kept),
    )
    if command.min_score is not None:
        answers, told = withheld(predictor, answers, command.min_score)
        predictor.notices.append(told)
    predictor.notices.extend(score_notices(predictor, answers, each_says=command.json))
    print_notices(predictor)
    for answer in answers:
        if command.json:
            print(json.dumps(answer, ensure_ascii=False))
        else:
            print(_as_text(answer, predictor.task))


def _input(command: Predict, run: dict[str, Any], flags: Any, notices: list[str]) -> list[Any]:
    """What is to be predicted, read and checked.

    Args:
        command: The command.
        run: The content of `run.json`.
        flags: The flags of the run's task.
        notices: Gets a line for what the user should know.
    """
    kind = task_class(run["task"])
    given = kind.flag_examples(flags, text=command.text, json=command.json)
    if given is not None:
        if command.file is not None:
            raise UserError("--file gives the input already: leave the other input out")
        check_pairs(run, given)
        return given
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


def _check_min_score(min_score: float | None, run: dict[str, Any]) -> None:
    """Refuses a score that is none, and any score where answers have none."""
    if min_score is None:
        return
    if not 0 <= min_score <= 1:
        raise UserError(f"--min-score {min_score:g} is not a score: give a number from 0 to 1")
    if (why := task_class(run["task"]).from_record(run).why_no_confidence) is not None:
        raise UserError(f"--min-score: {why}; leave it out")


def _as_text(answer: dict[str, Any], task: Any) -> str:
    if not str(answer.get("text", "-")).strip():
        return ""  # A blank line for a blank line: their numbers stay the same.
    text = str(task.answer_text(answer))
    held = [item for item in answer.get("withheld", ()) if isinstance(item, dict)]
    marks = []
    if held:
        named = (str(item.get("label") or item.get("answer") or "no answer") for item in held)
        pairs = zip(named, held, strict=True)
        told = ", ".join(f"{name} {item['score']:.2f}" for name, item in pairs)
        marks.append(f"withheld: {told}")
    if answer.get("unlike_training"):
        marks.append("unlike the training data")
    return f"{text}  [{'; '.join(marks)}]" if marks else text
