"""`lowcost-ft suggest`: what to label next."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lowcost_ft.config.reading import InputOptions, reading_of
from lowcost_ft.data.rows import counted, on_one_line
from lowcost_ft.errors import UserError
from lowcost_ft.record.overwriting import check_not_read
from lowcost_ft.screen import print_json, wrapped

__all__ = ["Suggest", "suggest"]

_SHOWN = 160
"""Characters of an answer on the terminal."""


@dataclass(frozen=True, kw_only=True)
class Suggest(InputOptions):
    """Choose what to label next: rows of a pool that a run's model is unsure of and that differ
    from one another; without a run, rows that are typical of many others."""

    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """Folder of a completed run. Without one, rows are chosen only by how the texts differ (a cold
    start)."""
    pool: str
    """File of rows without labels, in any format that training reads, or with one text a line.
    Labels in it are ignored."""
    number: int = 50
    """How many rows to choose."""
    labelled_file: str | None = None
    """File of rows that are labelled already: their texts are not suggested again, and without a
    run neither are texts that resemble them."""
    output: str | None = None
    """File to write, which must not exist yet. Without it the rows are printed."""
    to: Literal["label_studio", "doccano", "jsonl"] | None = None
    """What to write: tasks with the model's answers to accept or correct, or JSONL. Default: by the
    extension of --output; .json is for Label Studio."""
    model_id: str | None = None
    """Pretrained model whose embeddings say how texts differ. Default: the base model of the run;
    without a run, sentence-transformers/all-MiniLM-L6-v2."""
    revision: str | None = None
    """Branch, tag or commit of the model on the Hub."""
    max_length: int = 256
    """Only this many tokens of a text are compared."""
    base_model: str | None = None
    """Name or folder of the run's base model, if it is no longer what run.json names."""
    seed: int = 0
    """Decides between rows that are equally good."""
    json: bool = False
    """Print JSON, one row a line."""
    trust_remote_code: bool = False
    """Run model code that comes with the model. Off unless you trust its author."""
    num_threads: int | None = None
    """CPU threads. Default: OMP_NUM_THREADS if you set it, else the physical cores."""
    debug: bool = False
    """Show a traceback with each error."""


def suggest(command: Suggest) -> None:
    """Prints or writes the rows that should be labelled next.

    Raises:
        UserError: A flag, a file or the run is wrong.
    """
    to = _check(command)
    from lowcost_ft.pipeline.convert import write_new
    from lowcost_ft.suggest.suggesting import suggest_rows
    from lowcost_ft.suggest.writing import suggestion_row, suggestions_text
    from lowcost_ft.training.setup import set_num_threads

    set_num_threads(command.num_threads, local_processes=1)
    notices: list[str] = []
    found = suggest_rows(
        command.pool,
        run_folder=command.run,
        number=command.number,
        model_id=command.model_id,
        labelled_file=command.labelled_file,
        reading=reading_of(command),
        base_model=command.base_model,
        revision=command.revision,
        max_length=command.max_length,
        seed=command.seed,
        trust_remote_code=command.trust_remote_code,
        num_threads=command.num_threads,
        notices=notices,
    )
    for notice in notices:
        print(wrapped(f"note: {notice}", sys.stderr), file=sys.stderr)
    if command.output is not None:
        assert to is not None
        model = "" if command.run is None else Path(command.run).resolve().name
        write_new(command.output, suggestions_text(found, to, model=model))
        told = sys.stderr if command.json else sys.stdout
        print(f"{command.output}: {counted(len(found), 'row')} to label", file=told)
    if command.json:
        for one in found:
            print_json(suggestion_row(one))
    elif command.output is None:
        for one in found:
            unsure = "" if one.uncertainty is None else f"{one.uncertainty:.2f}  "
            told_of = on_one_line(one.told)
            told_of = told_of if len(told_of) <= _SHOWN else f"{told_of[: _SHOWN - 3]}..."
            print(f"{unsure}{one.source}  {told_of}")


def _check(command: Suggest) -> str | None:
    """What is to be written; refuses flags that are wrong, before anything is read."""
    from lowcost_ft.pipeline.convert import form_of
    from lowcost_ft.suggest.writing import FORMS

    problems = []
    if command.number < 1:
        problems.append(f"--number {command.number} is too small: it must be at least 1")
    if command.max_length < 8:
        problems.append(f"--max-length {command.max_length} is too small: it must be at least 8")
    if command.num_threads is not None and command.num_threads < 1:
        problems.append(f"--num-threads {command.num_threads} is too small: it must be at least 1")
    if command.seed < 0:
        problems.append(f"--seed {command.seed} is too small: it must be at least 0")
    if command.base_model is not None and command.run is None:
        problems.append("--base-model is for a run: name its folder, or leave it out")
    if command.to is not None and command.output is None:
        problems.append("--to needs a file: name it with --output")
    if problems:
        raise UserError(problems)
    if command.output is None:
        return None
    to = form_of(command.output, command.to, FORMS)
    check_not_read(
        "--output",
        command.output,
        replaced=[Path(command.output)],
        reads={"--pool": command.pool, "--labelled-file": command.labelled_file},
    )
    return to
