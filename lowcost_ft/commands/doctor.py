"""`lowcost-ft doctor`: what would hurt in labelled data, found before training."""

import sys
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import tyro

from lowcost_ft.config.reading import InputOptions, LabelOptions, ProblemType, reading_of
from lowcost_ft.config.setting import setting
from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.config.tasks import task_settings
from lowcost_ft.data.rows import counted
from lowcost_ft.errors import UserError
from lowcost_ft.record.overwriting import check_not_read
from lowcost_ft.screen import print_json, wrapped

__all__ = ["Doctor", "doctor"]

SEVERE = 3
"""Exit code of `--strict` where a finding is severe."""


@dataclass(frozen=True, kw_only=True)
class Doctor(InputOptions, LabelOptions):
    """Check labelled data before training: what would hurt, worst first, and how to mend it."""

    train: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TRAIN")]
    """Labelled training file, in any format that training reads."""
    validation_file: str | None = None
    """Validation file, to be checked for leaks and differences, too."""
    test_file: str | None = None
    """Test file, to be checked in the same way."""
    task: str | None = None
    """Name of the task, such as ner. Default: the task that can read most rows."""
    problem_type: ProblemType | None = None
    """What to predict in text classification. Chosen from the labels when not given."""
    model_id: str = DEFAULT_MODEL_ID
    """Pretrained model whose states judge the labels; its tokenizer counts lengths."""
    revision: str | None = None
    """Branch, tag or commit of the model on the Hub."""
    trust_remote_code: bool = False
    """Run model code that comes with the model. Off unless you trust its author."""
    model: bool = True
    """Judge labels by a pretrained model. Off: only checks that need none are made, in seconds."""
    thorough: bool = False
    """Judge labels by five LoRA adapters, each trained on four fifths of the rows as the recipe of
    the task would train it: this takes as long as four trainings, and the model's frozen states
    alone take seconds to minutes."""
    max_steps: int | None = setting(None, at_least=1)
    """With --thorough: optimizer steps of each training. Default: as many as the recipe takes."""
    max_length: int = 128
    """The --max-length of your training: longer texts are reported."""
    kinds: str | None = None
    """Comma-separated kinds of findings: only these are reported and mended."""
    json: bool = False
    """Print the findings as one JSON object."""
    scores: str | None = None
    """File for the score of each training row, 1 for a label that is surely wrong: .jsonl or
    .csv."""
    output: str | None = None
    """File for a page with the findings."""
    fix: str | None = None
    """File for the mended training set, which must not exist yet: .jsonl, .csv or .tsv. The changes
    are listed beside it, in FILE.changes.jsonl; no other file is changed."""
    overwrite: bool = False
    """Let --fix replace an existing file and its list of changes."""
    strict: bool = False
    """Exit with code 3 if a finding is severe, to guard a pipeline."""
    seed: int = 0
    """Seed that deals the rows into folds."""
    num_threads: int | None = None
    """CPU threads. Default: OMP_NUM_THREADS if you set it, else the physical cores."""
    debug: bool = False
    """Show a traceback with each error."""


def doctor(command: Doctor) -> None:
    """Prints what was found, and writes what was asked for.

    Raises:
        UserError: A flag or a file is wrong.
        SystemExit: With code 3, where a finding is severe under `--strict`.
    """
    from lowcost_ft.doctor.answer import findings_json, findings_text, scores_text
    from lowcost_ft.doctor.examination import KINDS, examine
    from lowcost_ft.doctor.mending import changes_file, write_mended
    from lowcost_ft.record.run_file import write_atomically
    from lowcost_ft.training.setup import set_num_threads

    files = {
        name: path
        for name, path in (
            ("train", command.train),
            ("validation", command.validation_file),
            ("test", command.test_file),
        )
        if path is not None
    }
    kinds = None if command.kinds is None else [kind.strip() for kind in command.kinds.split(",")]
    _check(command, files, kinds, KINDS)
    if command.model:
        set_num_threads(command.num_threads, local_processes=1)
    examination = examine(
        files,
        task=command.task,
        reading=reading_of(command),
        model_id=command.model_id if command.model else None,
        revision=command.revision,
        trust_remote_code=command.trust_remote_code,
        max_length=command.max_length,
        seed=command.seed,
        thorough=command.thorough,
        max_steps=command.max_steps,
    )
    for notice in examination.data.notices:
        print(wrapped(f"note: {notice}", sys.stderr), file=sys.stderr)
    if kinds is not None:
        chosen = [finding for finding in examination.findings if finding.kind in kinds]
        examination = replace(examination, findings=chosen, chosen=True)
    words = _words(command)
    if command.json:
        print_json(findings_json(examination, words), indent=2)
    else:
        print(wrapped(findings_text(examination, words), sys.stdout))
    if command.scores is not None:
        as_csv = command.scores.lower().endswith(".csv")
        scored = scores_text(examination, as_csv=as_csv)
        write_atomically(Path(command.scores), lambda out: out.write(scored.encode()))
        print(f"wrote {command.scores}", file=sys.stderr)
    if command.output is not None:
        from lowcost_ft.doctor.page import page

        html = page(examination, words)
        write_atomically(
            Path(command.output), lambda out: out.write(html.encode("utf-8", "replace"))
        )
        print(f"wrote {command.output}", file=sys.stderr)
    if command.fix is not None:
        dropped, changed = write_mended(command.fix, examination, asked=kinds is not None)
        print(
            f"wrote {command.fix}: {counted(dropped, 'row')} left out, {changed:,} changed; "
            f"{changes_file(command.fix)} lists them",
            file=sys.stderr,
        )
        if examination.data.reading.exclude_label is not None:
            told = f"{command.fix} keeps the rows that --exclude-label leaves out of this report"
            told = f"note: {told}: give the flag to training, too"
            print(wrapped(told, sys.stderr), file=sys.stderr)
        if lost := examination.data.lost:
            told = f"{command.fix} lacks {counted(len(lost), 'line')} that cannot be read"
            if examination.data.kind.reads_words:
                told += "; in columns of words its sentence is in two pieces there"
            print(wrapped(f"note: {told}, first {lost[0]}", sys.stderr), file=sys.stderr)
    if command.strict and any(finding.severity == "severe" for finding in examination.findings):
        raise SystemExit(SEVERE)


def _check(
    command: Doctor, files: dict[str, str], kinds: list[str] | None, known: tuple[str, ...]
) -> None:
    """Refuses flags that are wrong, before anything is read."""
    from lowcost_ft.doctor.mending import changes_file, writing_problem

    problems = []
    if command.task is not None:
        task_settings(command.task)
    if unknown := [kind for kind in kinds or () if kind not in known]:
        problems.append(f"--kinds {', '.join(unknown)}: unknown; known: {', '.join(known)}")
    if command.max_length < 8:
        problems.append(f"--max-length {command.max_length} is too small: it must be at least 8")
    if command.num_threads is not None and command.num_threads < 1:
        problems.append(f"--num-threads {command.num_threads} is too small: it must be at least 1")
    if command.seed < 0:
        problems.append(f"--seed {command.seed} is too small: it must be at least 0")
    if command.thorough and not command.model:
        problems.append("--thorough trains a model: leave out --no-model")
    if command.max_steps is not None and not command.thorough:
        problems.append("--max-steps needs --thorough")
    if command.scores is not None and not command.model:
        problems.append("--scores needs a model: leave out --no-model")
    for flag, path, endings in (
        ("--scores", command.scores, (".jsonl", ".csv")),
        ("--output", command.output, (".html",)),
    ):
        if path is None:
            continue
        if not path.lower().endswith(endings):
            problems.append(f"{flag} {path}: the name must end in {' or '.join(endings)}")
        elif Path(path).is_dir() or not Path(path).absolute().parent.is_dir():
            problems.append(f"{flag} {path}: name a file in a folder that exists")
    if command.fix is not None and (problem := writing_problem(command.fix)):
        problems.append(problem)
    if command.overwrite and command.fix is None:
        problems.append("--overwrite is for --fix FILE: name the file, or leave it out")
    if problems:
        raise UserError(problems)
    for flag, path in (
        ("--scores", command.scores),
        ("--output", command.output),
        ("--fix", command.fix),
    ):
        if path is not None:
            written = [Path(path), *([changes_file(path)] if flag == "--fix" else [])]
            reads = {name if name != "train" else "TRAIN": given for name, given in files.items()}
            check_not_read(flag, path, replaced=written, reads=reads)
            there = [str(file) for file in written if file.exists()]
            if there and flag == "--fix" and not command.overwrite:
                raise UserError(
                    f"--fix {path}: {' and '.join(there)} exist{'s' * (len(there) == 1)} already; "
                    "name another file, or add --overwrite to replace it"
                )


def _words(command: Doctor) -> list[str]:
    """The command as it was typed, without what it writes."""
    words = ["lowcost-ft", "doctor", command.train]
    for field in fields(command):
        value = getattr(command, field.name)
        default = None if field.default is MISSING else field.default
        written = {"train", "kinds", "json", "scores", "output", "fix", "strict", "debug"}
        written |= {"overwrite"}
        if field.name in written or value == default:
            continue
        flag = field.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", str(value)]
    return words
