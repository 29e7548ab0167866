"""The input of a finished run, read and checked before its model is loaded.

Nothing here needs PyTorch: a mistake in a file is told at once, not after seconds of loading.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.config.arguments import is_missing, to_list, to_path
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.rows import text_fault
from lowcost_ft.errors import UserError
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.inputs import read_examples_file, read_text_lines

__all__ = ["check_pairs", "read_labelled_file", "read_lines", "read_unlabelled_file"]
__all__ += ["text_examples"]

_SHOWN_FAULTS = 5


def read_labelled_file(
    run: Mapping[str, Any],
    path: str,
    *,
    reading: ReadingOptions | None = None,
    notices: list[str],
) -> list[Any]:
    """Examples of a file to score a run on; see `Predictor.evaluate`."""
    decided: Any = run.get("problem_type")
    examples = read_examples_file(
        run["task"],
        to_path(path, "path"),
        reading=replace(reading or ReadingOptions(), problem_type=decided),
        usual=_usual_reading(run),
        labelled=True,
        labels=run["labels"],
        notices=notices,
    )
    check_pairs(run, examples)
    return examples


def read_unlabelled_file(
    run: Mapping[str, Any],
    path: str,
    *,
    reading: ReadingOptions | None = None,
    notices: list[str],
) -> list[Any]:
    """Examples of a file, labelled or not, to predict them."""
    examples = read_examples_file(
        run["task"],
        to_path(path, "path"),
        reading=reading,
        usual=_usual_reading(run),
        labelled=False,
        notices=notices,
    )
    check_pairs(run, examples)
    return examples


def read_lines(run: Mapping[str, Any], data: bytes, *, name: str) -> list[Any]:
    """Examples of texts that come one a line; blank lines are examples too."""
    if not isinstance(data, bytes | bytearray):
        raise UserError(f"the lines of {name} must be bytes, not {type(data).__name__}")
    examples = read_text_lines(run["task"], name, bytes(data), usual=_usual_reading(run))
    check_pairs(run, examples)
    return examples


def text_examples(run: Mapping[str, Any], texts: Any, pairs: Any = None) -> list[Any]:
    """Examples of texts that Python holds; see `Predictor.__call__`."""
    first = to_list(texts, "texts", of="texts")
    second = None if pairs is None else to_list(pairs, "pairs", of="texts")
    if second is not None and len(second) != len(first):
        raise UserError(f"{len(first)} texts and {len(second)} pairs: give each text its second")
    faults = _text_faults("text", first, blank_allowed=second is None)
    faults += _text_faults("second text", second or [], blank_allowed=False)
    if faults:
        more = len(faults) - _SHOWN_FAULTS
        shown = faults[:_SHOWN_FAULTS] + [f"and {more:,} more"] * (more > 0)
        raise UserError(shown, total=len(faults))
    examples = task_class(run["task"]).read_texts_for(run, first, second)
    check_pairs(run, examples)
    return examples


def _usual_reading(run: Mapping[str, Any]) -> ReadingOptions:
    return task_class(run["task"]).recorded_reading(run)


def _text_faults(what: str, texts: Sequence[Any], *, blank_allowed: bool) -> list[str]:
    found = []
    for number, text in enumerate(texts, 1):
        if blank_allowed and isinstance(text, str) and not text.strip():
            continue
        if fault := text_fault(None if is_missing(text) else text):
            found.append(f"{what} {number} {fault}")
    return found


def check_pairs(run: Mapping[str, Any], examples: Sequence[Any]) -> None:
    """Refuses single texts for a model of pairs, and pairs for one of single texts.

    Raises:
        UserError: They are not what the model was trained on.
    """
    if not examples:
        return
    pairs = bool((run.get("data") or {}).get("pairs"))
    if pairs != (getattr(examples[0], "text_pair", None) is not None):
        of_file = ":" in examples[0].source
        if pairs:
            how = "name its column with --text-pair-column" if of_file else "--text-pair"
            fix = f"pairs of texts: give the second one too ({how})"
        else:
            how = "--text-column alone names one text" if of_file else "--text-pair"
            fix = f"single texts: leave out the second one ({how})"
        raise UserError(f"{examples[0].source}: the model was trained on {fix}")
