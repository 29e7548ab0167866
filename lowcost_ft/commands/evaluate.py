"""`lowcost-ft evaluate`: scores of a saved run on another labelled file."""

from dataclasses import dataclass

from lowcost_ft.commands.saved_run import (
    RunFolder,
    UseOfRun,
    check_threads,
    open_run,
    print_notices,
)
from lowcost_ft.config.reading import LabelOptions, reading_of
from lowcost_ft.pipeline.run_input import read_labelled_file, read_unlabelled_file
from lowcost_ft.record.run_file import load_run
from lowcost_ft.screen import print_json
from lowcost_ft.tasks.flags import own_flags

__all__ = ["Evaluate", "evaluate"]


@dataclass(frozen=True, kw_only=True)
class Evaluate(UseOfRun, LabelOptions):
    """Score a completed run on a labelled file."""

    run: RunFolder
    """Folder of a completed run."""
    test_file: str
    """Labelled file, in any format that training reads."""
    out_of_scope_file: str | None = None
    """File of texts that the model is not made for, one a line or in any format that training
    reads: how well they are distinguished from those of --test-file (AUROC)."""


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
    outside = None
    if command.out_of_scope_file is not None:
        outside = read_unlabelled_file(run, command.out_of_scope_file, notices=notices)
    predictor = open_run(command, notices)
    scores = predictor.score(examples)
    if outside is not None:
        scores["out_of_scope"] = predictor.out_of_scope(examples, outside)
    print_notices(predictor)
    if command.json:
        print_json(scores, indent=2)
    else:
        lines = score_lines("test", scores, rest="(--json prints all)")
        if (told := scores.get("out_of_scope")) is not None:
            low, high = told["auroc_ci95"]
            lines += [
                "",
                f"out of scope: AUROC {told['auroc']:.3f} (95% interval {low:.3f} to {high:.3f}); "
                f"{told['flagged']:.0%} of {told['texts']:,} texts flagged, and "
                f"{told['flagged_of_test']:.0%} of the test texts",
            ]
        print("\n".join(lines))
