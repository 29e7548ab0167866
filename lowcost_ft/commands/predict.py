"""`lowcost-ft predict`: answers of a saved run."""

import sys
from dataclasses import dataclass
from typing import Any

from lowcost_ft.commands.saved_run import (
    RunFolder,
    UseOfRun,
    check_threads,
    open_run,
    print_notices,
)
from lowcost_ft.commands.single_input import input_of
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.answer_scores import score_notices, withheld
from lowcost_ft.record.run_file import load_run
from lowcost_ft.screen import print_json, visible
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
    """File of examples in any format that training reads, or with one text a line; labels are not
    needed."""
    min_score: float | None = None
    """Withhold answers with a lower score, from 0 to 1. A note says how many to expect above it,
    and how many of these are right, from validation data."""


def predict(command: Predict) -> None:
    """Prints an answer for each input.

    Raises:
        UserError: A flag, the input or the run is wrong.
    """
    check_threads(command)
    notices: list[str] = []
    run = load_run(command.run)
    flags = own_flags(run["task"], command.of_tasks)
    _check_min_score(command.min_score, run)
    examples = input_of(command, run, flags, notices)
    kept = task_class(run["task"]).keeps_adapter(flags)
    predictor = open_run(command, notices, keep_adapter=kept)
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
            print_json(answer)
        else:
            print(visible(_as_text(answer, predictor.task), sys.stdout))


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
    if not marks:
        return text
    # Below several answers, since it is about all of them.
    return f"{text}{chr(10) if chr(10) in text else ''}  [{'; '.join(marks)}]"
