"""`lowcost-ft audit`: whether a saved run treats groups of people alike."""

import sys
from dataclasses import dataclass

from lowcost_ft.commands.page_output import check_page_libraries, output_problems, write_page
from lowcost_ft.commands.saved_run import (
    RunFolder,
    UseOfRun,
    check_threads,
    open_run,
    print_notices,
    seed_problems,
)
from lowcost_ft.config.reading import LabelOptions, reading_of
from lowcost_ft.config.values import split_list
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.run_input import read_labelled_file
from lowcost_ft.record.run_file import load_run
from lowcost_ft.screen import print_json, wrapped
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.flags import own_flags

__all__ = ["Audit", "audit"]


@dataclass(frozen=True, kw_only=True)
class Audit(UseOfRun, LabelOptions):
    """Show whether answers change with the people that a text is about: their names, gender,
    nationality, religion or age."""

    run: RunFolder
    """Folder of a completed run."""
    test_file: str
    """Labelled file, in any format that training reads."""
    groups: str | None = None
    """JSON file with more groups and their words (docs/audit.md). An attribute with the name of one
    of the package's replaces it."""
    attributes: str | None = None
    """Comma-separated attributes, such as gender or "origin of names". Default: all."""
    add_sentences: bool = False
    """For text classification: put a sentence such as "My name is ..." in front of texts that
    mention nobody, so that they count, too."""
    least_difference: float = 0.05
    """Smallest mean difference between groups that is reported: of probabilities, of entities a
    text, or in standard deviations of predicted numbers."""
    max_rows: int = 300
    """Number of texts for each attribute. From more, this many are drawn by --seed."""
    output: str | None = None
    """File for a page with the result and the examples: .html."""
    seed: int = 0
    """Seed of everything random: texts, words, signs, intervals."""


def audit(command: Audit) -> None:
    """Prints what differs between groups.

    Raises:
        UserError: A flag, a file or the run is wrong.
    """
    from lowcost_ft.audit.answer import audit_text
    from lowcost_ft.audit.audits import AuditOptions, check_task
    from lowcost_ft.audit.audits import audit as audit_run
    from lowcost_ft.audit.groups import chosen, packaged_attributes, read_attributes

    check_threads(command)
    names = split_list(command.attributes)
    problems = []
    if command.attributes is not None and not names:
        problems.append("--attributes names nothing: name some, or leave it out")
    if not 0 <= command.least_difference < 1:
        problems.append(
            f"--least-difference {command.least_difference:g}: give a number from 0 to below 1"
        )
    if command.max_rows < 2:
        problems.append(f"--max-rows {command.max_rows} is too small: it must be at least 2")
    problems += seed_problems(command.seed)
    problems += output_problems(command.output, test_file=command.test_file, groups=command.groups)
    attributes = {attribute.name: attribute for attribute in packaged_attributes()}
    try:
        own = [] if command.groups is None else read_attributes(command.groups)
    except UserError as error:
        raise UserError([*problems, *error.problems]) from error
    attributes |= {attribute.name: attribute for attribute in own}
    used = list(attributes.values())
    if names:
        try:
            used = chosen(used, names)
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(problems)
    check_page_libraries(command.output)
    run = load_run(command.run)
    check_task(task_class(run["task"]), add_sentences=command.add_sentences)
    own_flags(run["task"], command.of_tasks, command="audit")
    notices: list[str] = []
    examples = read_labelled_file(
        run, command.test_file, reading=reading_of(command), notices=notices
    )
    predictor = open_run(command, notices)
    found = audit_run(
        predictor,
        examples,
        used,
        AuditOptions(
            add_sentences=command.add_sentences,
            least_difference=command.least_difference,
            most_texts=command.max_rows,
            seed=command.seed,
        ),
    )
    print_notices(predictor)
    if command.json:
        print_json(found, indent=2)
    else:
        print(wrapped(audit_text(found), sys.stdout))
    if command.output is not None:
        from lowcost_ft.audit.page import page

        html = page(found, run=command.run, test_file=command.test_file)
        write_page(command.output, html)
