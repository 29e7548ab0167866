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

from lowcost_ft.errors import UserError
from lowcost_ft.flags import parse_flags
from lowcost_ft.plan_command import PlanMemory, parse_plan, plan
from lowcost_ft.program import exit_code
from lowcost_ft.reading import InputOptions, LabelOptions, reading_of
from lowcost_ft.report.command import Report, report

__all__ = ["Evaluate", "Predict", "main"]


RunFolder = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclass(frozen=True, kw_only=True)
class _Common(InputOptions):
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
    """File of examples in any format that training reads; labels are not needed."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(_Common, LabelOptions):
    """Score a completed run on a labelled file."""

    run: RunFolder
    """Folder of a completed run."""
    test_file: str
    """Labelled file, in any format that training reads."""


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
    command = _parse(list(sys.argv[1:] if arguments is None else arguments))
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


def _predictor(command: Any) -> Any:
    if command.num_threads is not None and command.num_threads < 1:
        raise UserError(f"--num-threads {command.num_threads} is too small; at least 1")
    from lowcost_ft.predictor import load_predictor

    return load_predictor(
        command.run,
        trust_remote_code=command.trust_remote_code,
        num_threads=command.num_threads,
    )


def _predict(command: Predict) -> None:
    if command.text is not None and command.file is not None:
        raise UserError("--text and --file exclude each other")
    if command.text_pair is not None and command.text is None:
        raise UserError("--text-pair goes with --text")
    columns = (command.text_column, command.text_pair_column, command.tokens_column)
    if command.file is None and any(name is not None for name in columns):
        raise UserError("--text-column, --text-pair-column and --tokens-column go with --file")
    if command.file is not None and command.file.lower().endswith(".txt"):
        # Training reads .txt as columns; a file of messages would lose words without a trace.
        raise UserError(
            f"{command.file}: give texts, one a line, on standard input (lowcost-ft predict "
            f"{command.run} < {command.file}); if it holds CoNLL columns, name it .conll"
        )
    predictor = _predictor(command)
    if command.file is not None:
        answers = predictor.predict(predictor.read(command.file, reading=reading_of(command)))
    elif command.text is not None:
        pairs = None if command.text_pair is None else [command.text_pair]
        answers = predictor([command.text], pairs)
    else:
        if sys.stdin.isatty():
            print("reading texts from standard input, one a line", file=sys.stderr)
        data = sys.stdin.buffer.read()
        if not data.strip():
            raise UserError("standard input holds no text: give --text, --file, or lines")
        answers = predictor.predict(predictor.read_lines(data, name="standard input"))
    _print_notices(predictor)
    for answer in answers:
        if command.json:
            print(json.dumps(answer, ensure_ascii=False))
        else:
            print(_as_text(answer))


def _print_notices(predictor: Any) -> None:
    for notice in predictor.notices:
        print(f"note: {notice}", file=sys.stderr)


def _as_text(answer: dict[str, Any]) -> str:
    text = answer["text"]
    if "text_pair" in answer:
        text += f"  |  {answer['text_pair']}"
    if "id" in answer:
        text = f"[{answer['id']}] {text}"
    if "entities" in answer:
        lines = [text]
        for entity in answer["entities"]:
            place = f"{entity['start']}-{entity['end']}"
            lines.append(
                f"  {place:>9}  {entity['label']:<14}{entity['score']:.2f}  {entity['text']}"
            )
        return "\n".join(lines if answer["entities"] else [*lines, "  (no entity)"])
    if "label" not in answer:
        return f"{answer['score']:.4f}  {text}"
    labels, scores = answer["label"], answer["score"]
    if isinstance(labels, str):
        labels, scores = [labels], [scores]
    chosen = ", ".join(f"{name} {score:.2f}" for name, score in zip(labels, scores, strict=True))
    return f"{chosen or '(no label)'}  {text}"


def _evaluate(command: Evaluate) -> None:
    from lowcost_ft.summary import score_lines

    predictor = _predictor(command)
    scores = predictor.evaluate(command.test_file, reading=reading_of(command))
    _print_notices(predictor)
    if command.json:
        print(json.dumps(scores, ensure_ascii=False, indent=2))
    else:
        print("\n".join(score_lines("test", scores)))


def _merge(command: Merge) -> None:
    if not 0 <= command.max_drift <= 1:
        raise UserError(f"--max-drift {command.max_drift} is no share: give 0 to 1")
    from lowcost_ft.merge import merge_run

    report = merge_run(
        command.run,
        command.output_dir,
        max_drift=command.max_drift,
        trust_remote_code=command.trust_remote_code,
        num_threads=command.num_threads,
        say=lambda text: print(text, file=sys.stderr),
    )
    if command.json:
        print(json.dumps(vars(report)))
    else:
        print(f"merged into {report.folder}; logits agree to {report.parity_gap:.1e}")


if __name__ == "__main__":
    sys.exit(main())
