"""`lowcost-ft explain`: which words led to an answer of a saved run."""

import sys
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from lowcost_ft.commands.page_output import check_page_libraries, output_problems, write_page
from lowcost_ft.commands.saved_run import (
    RunFolder,
    UseOfRun,
    check_threads,
    open_run,
    print_notices,
    seed_problems,
)
from lowcost_ft.commands.single_input import input_of
from lowcost_ft.errors import UserError
from lowcost_ft.record.run_file import load_run
from lowcost_ft.screen import print_json, wrapped
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.flags import own_flags

__all__ = ["Explain", "explain"]

_SHOWN_TEXTS = 20
"""Texts whose words are shown on the terminal; --json and --output have all."""


@dataclass(frozen=True, kw_only=True)
class Explain(UseOfRun):
    """Show which words led to an answer: a label, an entity, a relation, an answer, a number."""

    run: RunFolder
    """Folder of a completed run."""
    text: str | None = None
    """The text to predict and explain."""
    file: str | None = None
    """File of examples in any format that training reads, or with one text a line; labels are not
    needed. The explanations of a file are also tested: comprehensiveness and sufficiency."""
    output: str | None = None
    """File for a page with the explanations: .html."""
    occlusion: bool = False
    """Also hide one word at a time, as a check. It takes a pass of the model for each word."""
    tolerance: float = 0.01
    """Largest convergence error: how far the sum of all scores may be from what they explain, as a
    share of it. Steps are added until it is reached."""
    max_steps: int = 512
    """Largest number of steps (gradients) for a decision."""
    takes_exported: ClassVar[bool] = False
    seed: int = 0
    """Seed of the random order of words that explanations are compared with."""


def explain(command: Explain) -> None:
    """Prints the explanations.

    Raises:
        UserError: A flag, the input or the run is wrong.
    """
    check_threads(command)
    problems = []
    if not 0 < command.tolerance < 1:
        problems.append(f"--tolerance {command.tolerance:g}: give a share between 0 and 1")
    if command.max_steps < 16:
        problems.append(f"--max-steps {command.max_steps} is too small: it must be at least 16")
    problems += seed_problems(command.seed)
    problems += output_problems(command.output, file=command.file)
    if problems:
        raise UserError(problems)
    run = load_run(command.run)
    kind = task_class(run["task"])
    notices: list[str] = []
    if not kind.can_explain:
        from lowcost_ft.explain.explanations import check_task

        check_task(kind)
    if run.get("export"):
        raise UserError(
            f"{command.run} is an exported folder, which has no gradients: explain the run that it "
            "was exported from"
        )
    flags = own_flags(run["task"], command.of_tasks, command="explain")
    examples = input_of(command, run, flags, notices)

    from lowcost_ft.explain.answer import explanations_json, explanations_text
    from lowcost_ft.explain.explanations import Options
    from lowcost_ft.explain.explanations import explain as explain_examples
    from lowcost_ft.explain.summary import summary_of

    check_page_libraries(command.output)
    predictor = open_run(command, notices)
    options = Options(
        tolerance=command.tolerance,
        max_steps=command.max_steps,
        occlusion=command.occlusion,
        seed=command.seed,
    )
    texts = explain_examples(
        predictor, examples, replace(options, faithfulness=command.file is not None)
    )
    summary = summary_of(texts, seed=command.seed)
    _notice_doubts(predictor, summary, command)
    print_notices(predictor)
    unit = _unit(run)
    if command.json:
        told = explanations_json(texts, summary, unit=unit)
        print_json(told, indent=2)
    else:
        shown = texts[:_SHOWN_TEXTS]
        print(wrapped(explanations_text(shown, summary, unit=unit, details=True), sys.stdout))
        if len(texts) > len(shown):
            print(
                f"note: {len(texts) - len(shown):,} more texts: --json or --output has them",
                file=sys.stderr,
            )
    if command.output is not None:
        from lowcost_ft.explain.page import page

        html = page(texts, summary, run=command.run, unit=unit)
        write_page(command.output, html)


def _unit(run: dict[str, Any]) -> str:
    if run.get("problem_type") == "regression":
        return "in the unit of the predicted number"
    calibrated = (run.get("calibration") or {}).get("temperature") is not None
    return "log-odds of the decision" + (", before its score is calibrated" if calibrated else "")


def _notice_doubts(predictor: Any, summary: dict[str, Any], command: Explain) -> None:
    if missed := summary.get("not_converged"):
        predictor.notices.append(
            f"{missed:,} of {summary['decisions']:,} explanations have a convergence error above "
            f"{100 * command.tolerance:g}% after {command.max_steps} steps: raise --max-steps"
        )
