"""`lowcost-ft`: plan a run, and use, score, merge and compare finished ones.

Answers go to standard output, everything else to standard error. What needs PyTorch is imported
where it is used: help and wrong flags do not wait for it.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any

import tyro

from lowcost_ft.commands.plan import PlanMemory, parse_plan, plan
from lowcost_ft.commands.program import exit_code
from lowcost_ft.commands.report import Report, report
from lowcost_ft.config.flag_names import foreign_flag_problems
from lowcost_ft.config.flags import parse_flags
from lowcost_ft.config.reading import InputOptions, LabelOptions, reading_of
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.run_input import (
    read_labelled_file,
    read_lines,
    read_unlabelled_file,
    text_examples,
)
from lowcost_ft.record.run_file import load_run
from lowcost_ft.screen import readers_may_leave

__all__ = ["Evaluate", "Predict", "main"]


RunFolder = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclass(frozen=True, kw_only=True)
class _Common(InputOptions):
    base_model: str | None = None
    """Name or folder of the run's base model, where it is not what run.json names any more."""
    json: bool = False
    """Print JSON: for predictions one object a line, for scores one object."""
    trust_remote_code: bool = False
    """Run model code that comes with the base model. Off unless you trust its author."""
    num_threads: int | None = None
    """CPU threads. Default: OMP_NUM_THREADS if you set it, else the physical cores."""
    debug: bool = False
    """Show a traceback with each error."""


@dataclass(frozen=True, kw_only=True)
class Predict(_Common):
    """Predict texts from the command line, a file, or standard input (one text a line)."""

    run: RunFolder
    """Folder of a completed run."""
    text: str | None = None
    """The text to predict."""
    text_pair: str | None = None
    """The second text of a pair, beside --text."""
    file: str | None = None
    """File of examples in any format that training reads, or of one text a line; labels are not
    needed."""
    threshold: float | None = None
    """Multi-label: give the labels with this score or a higher one. Default: the thresholds that
    training chose by the validation split."""
    top_k: int | None = None
    """With --json: how many labels with their scores each line has under "scores". Default: all
    where a text can have several labels, none else."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(_Common, LabelOptions):
    """Score a completed run on a labelled file."""

    run: RunFolder
    """Folder of a completed run."""
    test_file: str
    """Labelled file, in any format that training reads."""
    threshold: float | None = None
    """Multi-label: give the labels with this score or a higher one. Default: the thresholds that
    training chose by the validation split."""


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Merge a run's adapter into its full-precision base model: a plain transformers folder."""

    run: RunFolder
    """Folder of a completed run."""
    output_dir: str
    """Folder to write."""
    max_drift: float = 0.05
    """Largest share of predictions on the run's validation split that may differ from the run's;
    above it nothing is written."""
    base_model: str | None = None
    """Name or folder of the run's base model, where it is not what run.json names any more."""
    json: bool = False
    """Print the result as one JSON object."""
    trust_remote_code: bool = False
    """Run model code that comes with the base model. Off unless you trust its author."""
    num_threads: int | None = None
    """CPU threads. Default: OMP_NUM_THREADS if you set it, else the physical cores."""
    debug: bool = False
    """Show a traceback with each error."""


_COMMANDS: dict[str, Any] = {
    "plan": PlanMemory,
    "predict": Predict,
    "evaluate": Evaluate,
    "merge": Merge,
    "report": Report,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 2 the user's mistake, 1 ours."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with readers_may_leave():
        return exit_code(lambda: _check_flags(words), debug=False) or _run(_parse(words))


def _check_flags(arguments: list[str]) -> None:
    """Refuses flags of other trainers, each with the name it has here."""
    if arguments and arguments[0] in _COMMANDS:
        names = {field.name for field in fields(_COMMANDS[arguments[0]])}
        if problems := foreign_flag_problems(arguments[1:], names):
            raise UserError(problems)


def _run(command: Any) -> int:
    actions: dict[type, Any] = {
        PlanMemory: plan,
        Predict: _predict,
        Evaluate: _evaluate,
        Merge: _merge,
        Report: report,
    }
    return exit_code(
        lambda: actions[type(command)](command),
        debug=command.debug,
        flags=[field.name for field in fields(command)],
    )


def _parse(arguments: list[str]) -> Any:
    name = arguments[0] if arguments else ""
    if name in _COMMANDS:  # By itself, so that what tyro refuses points to this command's help.
        if name == "plan":
            return parse_plan(arguments[1:], prog="lowcost-ft plan")
        return parse_flags(_COMMANDS[name], arguments[1:], prog=f"lowcost-ft {name}")
    return tyro.extras.subcommand_cli_from_dict(
        _COMMANDS,
        prog="lowcost-ft",
        args=arguments,
        description="Plan what recipes will need; use, score and compare what they have trained.",
    )


def _check_threads(command: Any) -> None:
    if command.num_threads is not None and command.num_threads < 1:
        raise UserError(f"--num-threads {command.num_threads} is too small: it must be at least 1")


def _predictor(command: Any, notices: list[str]) -> Any:
    """The run with its model, once the input is known to be right.

    Args:
        command: The command.
        notices: What was noticed of the input; they are printed with the model's own.
    """
    from lowcost_ft.pipeline.predictor import load_predictor

    predictor = load_predictor(
        command.run,
        base_model=command.base_model,
        trust_remote_code=command.trust_remote_code,
        num_threads=command.num_threads,
        threshold=command.threshold,
        top_k=getattr(command, "top_k", None),
    )
    predictor.notices[:0] = notices
    return predictor


def _predict(command: Predict) -> None:
    if command.text is not None and command.file is not None:
        raise UserError("--text and --file cannot be used together: give one of them")
    if command.text_pair is not None and command.text is None:
        raise UserError("--text-pair needs --text")
    if command.top_k is not None and not command.json:
        raise UserError("--top-k needs --json")
    if command.file is None:
        given = [f for f in fields(InputOptions) if getattr(command, f.name) != f.default]
        flags = [f"--{'no-' * (f.default is True)}{f.name.replace('_', '-')}" for f in given]
        if flags:
            raise UserError(f"{', '.join(flags)}: for files; give one with --file, or leave it out")
    _check_threads(command)
    notices: list[str] = []
    examples = _input(command, load_run(command.run), notices)
    predictor = _predictor(command, notices)
    answers = predictor.predict(examples)
    _print_notices(predictor)
    for answer in answers:
        if command.json:
            print(json.dumps(answer, ensure_ascii=False))
        else:
            print(_as_text(answer, predictor.task))


def _input(command: Predict, run: dict[str, Any], notices: list[str]) -> list[Any]:
    """What is to be predicted, read and checked."""
    if command.file is not None:
        reading = reading_of(command)
        return read_unlabelled_file(run, command.file, reading=reading, notices=notices)
    if command.text is not None:
        if not command.text.strip():
            raise UserError("--text is empty: give a text to predict")
        pairs = None if command.text_pair is None else [command.text_pair]
        return text_examples(run, [command.text], pairs)
    if sys.stdin.isatty():
        print("Reading texts from standard input, one a line.", file=sys.stderr)
    data = sys.stdin.buffer.read()
    if not data.strip():
        raise UserError("standard input contains no text: give --text, --file, or lines")
    return read_lines(run, data, name="standard input")


def _print_notices(predictor: Any) -> None:
    for notice in predictor.notices:
        print(f"note: {notice}", file=sys.stderr)


def _as_text(answer: dict[str, Any], task: Any) -> str:
    if not str(answer.get("text", "-")).strip():
        return ""  # A blank line for a blank line: their numbers stay the same.
    return str(task.answer_text(answer))


def _evaluate(command: Evaluate) -> None:
    from lowcost_ft.pipeline.summary import score_lines

    _check_threads(command)
    notices: list[str] = []
    examples = read_labelled_file(
        load_run(command.run), command.test_file, reading=reading_of(command), notices=notices
    )
    predictor = _predictor(command, notices)
    scores = predictor.score(examples)
    _print_notices(predictor)
    if command.json:
        print(json.dumps(scores, ensure_ascii=False, indent=2))
    else:
        print("\n".join(score_lines("test", scores, rest="(--json prints all)")))


def _merge(command: Merge) -> None:
    if not 0 <= command.max_drift <= 1:
        raise UserError(
            f"--max-drift {command.max_drift} is not a share: give a number from 0 to 1"
        )
    from lowcost_ft.pipeline.merge import merge_run

    report = merge_run(
        command.run,
        command.output_dir,
        max_drift=command.max_drift,
        base_model=command.base_model,
        trust_remote_code=command.trust_remote_code,
        num_threads=command.num_threads,
        say=lambda text: print(text, file=sys.stderr),
    )
    if command.json:
        print(json.dumps(vars(report)))
    else:
        print(
            f"Merged into {report.folder}. Its logits differ from the run's by at most "
            f"{report.parity_gap:.1e}."
        )


if __name__ == "__main__":
    sys.exit(main())
