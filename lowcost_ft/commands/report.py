"""`lowcost-ft report`: its flags."""

import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from lowcost_ft.config.values import parse_bytes
from lowcost_ft.errors import UserError
from lowcost_ft.screen import say

__all__ = ["Report", "report"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Compare runs, and say which method fits which budget: as a page, Markdown or CSV."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN_OR_RESULTS")]
    """Run folders, run.json or result files, and folders of them."""
    output: str = "report.html"
    """File to write: .html (one page that needs nothing else), .md or .csv."""
    memory_budget: str | None = None
    """Recommend a method for this much memory, such as 6GB. Default: for every budget."""
    target_score: float | None = None
    """Validation score for "time to score". Default: 95% of what full fine-tuning reached."""
    examples: int = 10
    """Number of worst predictions to show for each run; 0 keeps texts out of the report."""
    debug: bool = False
    """Show a traceback with each error."""


def report(command: Report) -> None:
    """Writes the report and says where.

    Raises:
        UserError: A flag or a path is wrong.
    """
    from lowcost_ft.report.writing import Options, write_report

    problems = []
    budget = None
    if not command.runs:
        problems.append("give run folders or results, such as: lowcost-ft report runs")
    if command.examples < 0:
        problems.append(f"--examples {command.examples} is too small: it must be at least 0")
    if command.memory_budget is not None:
        try:
            budget = parse_bytes(command.memory_budget)
        except ValueError as error:
            problems.append(f"--memory-budget: {error}")
        else:
            if budget < 1000:
                problems.append(
                    f"--memory-budget {command.memory_budget} is {budget:,} bytes: give the unit, "
                    "as in 8GiB or 900MB"
                )
    if (target := command.target_score) is not None and not -1 < target <= 1:
        problems.append(f"--target-score {target}: give a score as the tables show it, up to 1")
    if problems:
        raise UserError(problems)
    notices = write_report(
        command.runs,
        command.output,
        Options(
            target_score=command.target_score,
            memory_budget=budget,
            examples=command.examples,
        ),
    )
    for notice in notices:
        say(f"note: skipped: {notice}")
    print(f"wrote {command.output}", file=sys.stderr)
