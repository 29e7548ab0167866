"""`lowcost-ft attack`: how the score of a saved run falls on texts with mistakes."""

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

__all__ = ["Attack", "attack"]


@dataclass(frozen=True, kw_only=True)
class Attack(UseOfRun, LabelOptions):
    """Show how the score falls on texts with mistakes, made by chance or chosen by a search."""

    run: RunFolder
    """Folder of a completed run."""
    test_file: str
    """Labelled file, in any format that training reads."""
    kinds: str | None = None
    """Comma-separated kinds of mistakes: typos, diacritics, case, spacing, ocr, run-on, synonyms,
    masked-model, entities, joined. Default: all that the task and the other flags allow."""
    edits: int = 3
    """Largest number of edits of a text in the search for the worst case; 0: no search."""
    max_rows: int = 300
    """Number of rows to attack. From a larger file this many are drawn by --seed."""
    synonyms: str | None = None
    """File with a group of words of one meaning on each line, separated by tabs. Default: a short
    English list."""
    masked_model: str | None = None
    """Name or folder of a model with a masked language modelling head, which guesses words."""
    entities: str | None = None
    """File of entities that replace others: a type, a tab and an entity on each line. Default:
    those of the test file. Entities of the training data are not used."""
    output: str | None = None
    """File for a page with the curves and the examples: .html."""
    seed: int = 0
    """Seed of everything random: rows, words, mistakes, intervals."""


def attack(command: Attack) -> None:
    """Prints what is lost.

    Raises:
        UserError: A flag, a file or the run is wrong.
    """
    from lowcost_ft.attack.answer import attack_text
    from lowcost_ft.attack.attacks import KINDS, AttackOptions, check_task
    from lowcost_ft.attack.attacks import attack as attack_run

    check_threads(command)
    kinds = split_list(command.kinds)
    problems = []
    if command.kinds is not None and not kinds:
        problems.append(f"--kinds names nothing; known: {', '.join(KINDS)}")
    if unknown := [kind for kind in kinds or () if kind not in KINDS]:
        problems.append(f"--kinds {', '.join(unknown)}: unknown; known: {', '.join(KINDS)}")
    if command.edits < 0:
        problems.append(f"--edits {command.edits} is too small: it must be at least 0")
    if command.max_rows < 2:
        problems.append(f"--max-rows {command.max_rows} is too small: it must be at least 2")
    for flag, kind in (("synonyms", "synonyms"), ("masked_model", "masked-model")):
        if getattr(command, flag) is not None and kinds and kind not in kinds:
            problems.append(f"--{flag.replace('_', '-')} is for --kinds {kind}: add it there")
    if command.entities is not None and kinds and "entities" not in kinds:
        problems.append("--entities is for --kinds entities: add it there")
    problems += seed_problems(command.seed)
    problems += output_problems(
        command.output,
        test_file=command.test_file,
        synonyms=command.synonyms,
        entities=command.entities,
    )
    if problems:
        raise UserError(problems)
    check_page_libraries(command.output)
    run = load_run(command.run)
    check_task(task_class(run["task"]))
    own_flags(run["task"], command.of_tasks, command="attack")
    notices: list[str] = []
    examples = read_labelled_file(
        run, command.test_file, reading=reading_of(command), notices=notices
    )
    predictor = open_run(command, notices)
    if len(examples) > command.max_rows:
        predictor.notices.append(
            f"{command.max_rows:,} of {len(examples):,} rows are attacked, drawn by --seed "
            f"{command.seed} (--max-rows)"
        )
    found = attack_run(
        predictor,
        examples,
        AttackOptions(
            kinds=None if kinds is None else tuple(kinds),
            edits=command.edits,
            most_rows=command.max_rows,
            synonyms=command.synonyms,
            masked_model=command.masked_model,
            entities=command.entities,
            seed=command.seed,
        ),
    )
    print_notices(predictor)
    if command.json:
        print_json(found, indent=2)
    else:
        print(wrapped(attack_text(found), sys.stdout))
    if command.output is not None:
        from lowcost_ft.attack.page import page

        html = page(found, run=command.run, test_file=command.test_file)
        write_page(command.output, html)
