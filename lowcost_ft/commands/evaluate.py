"""`lowcost-ft evaluate`: scores of a saved run on another labelled file."""

import json
from dataclasses import dataclass

from lowcost_ft.commands.saved_run import (
    RunFolder,
    UseOfRun,
    check_threads,
    open_run,
    print_notices,
)
from lowcost_ft.config.reading import LabelOptions, reading_of
from lowcost_ft.pipeline.run_input import read_labelled_file
from lowcost_ft.record.run_file import load_run
from lowcost_ft.tasks.flags import own_flags

__all__ = ["Evaluate", "evaluate"]


@dataclass(frozen=True, kw_only=True)
class Evaluate(UseOfRun, LabelOptions):
    """Score a completed run on a labelled file."""

    run: RunFolder
    """Folder of a completed run."""
    test_file: str
    """Labelled file, in any format that training reads."""


def evaluate(command: Evaluate) -> None:
    """Prints the scores.

    Raises:
        UserError: A flag, the file or the run is wrong.
    """
    from lowcost_ft.pipeline.summary import score_lines

    check_threads(command)
    run = load_run(command.run)
    own_flags(run["task"], command.of_tasks, command="evaluate")
    notices: list[str] = []
    examples = read_labelled_file(
        run, command.test_file, reading=reading_of(command), notices=notices
    )
    predictor = open_run(command, notices)
    scores = predictor.score(examples)
    print_notices(predictor)
    if command.json:
        print(json.dumps(scores, ensure_ascii=False, indent=2))
    else:
        print("\n".join(score_lines("test", scores, rest="(--json prints all)")))
