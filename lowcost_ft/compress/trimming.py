"""Cutting the vocabulary to what given texts need, and checking that they are read as before."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowcost_ft.compress.vocabulary import pieces_to_keep, trimmed
from lowcost_ft.data.features import Features
from lowcost_ft.data.rows import without_blank_notices
from lowcost_ft.errors import UserError
from lowcost_ft.models.families import find_family
from lowcost_ft.models.merging import MERGE_TOLERANCE, parity_gap
from lowcost_ft.pipeline.comparing import Comparison, Drift
from lowcost_ft.pipeline.run_input import read_unlabelled_file
from lowcost_ft.record.run_file import write_json
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Predictions

__all__ = ["check_drift", "check_same", "given_texts", "pieces_that_stay", "save_trimmed"]

_USUAL_DRIFT = 0.05


def given_texts(
    run: dict[str, Any], files: Sequence[str | Path], say: Callable[[str], None], *, flag: str
) -> list[Any]:
    """The examples of files that a flag names, without blank ones.

    Raises:
        UserError: A file cannot be read, or they hold no text.
    """
    kind, notices, examples = task_class(run["task"]), list[str](), []
    for file in files:
        try:
            read = read_unlabelled_file(run, str(file), notices=notices)
        except UserError as error:
            raise UserError([f"{flag}: {one}{_instead(one)}" for one in error.problems]) from error
        examples += [one for one in read if not kind.is_blank(one)]
    if not examples:
        raise UserError(f"{flag}: the files hold no text")
    for notice in dict.fromkeys(without_blank_notices(notices)):
        say(f"note: {notice}")
    return examples


def _instead(problem: str) -> str:
    """What to do where a flag is advised that compress does not have."""
    if not re.search(r"--[a-z-]+-column|--question|--context|--format", problem):
        return ""
    return (
        ". compress has no such flag: it reads files as those of the run were read, so give "
        "columns the names that they had in training, or make a file of one text a line"
    )


def pieces_that_stay(model: Any, tokenizer: Any, covered: Features) -> list[int]:
    """The rows of the embeddings that stay."""
    family = find_family(model.config)
    below = tokenizer.pad_token_id if family and family.positions_after_padding else 0
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    used = {int(one) for one in np.unique(covered.input_ids)} | {tokenizer.pad_token_id}
    rows = model.get_input_embeddings().num_embeddings
    return [one for one in pieces_to_keep(content, used, below=below) if one < rows]


def save_trimmed(folder: Path, keep: list[int]) -> None:
    """Replaces the tokenizer in a folder by the one with fewer pieces."""
    file = folder / "tokenizer.json"
    write_json(file, trimmed(json.loads(file.read_text("utf-8")), keep))
    numbers = {old: new for new, old in enumerate(keep)}
    file = folder / "tokenizer_config.json"
    values = json.loads(file.read_text("utf-8"))
    if added := values.get("added_tokens_decoder"):
        values["added_tokens_decoder"] = {
            str(numbers[int(old)]): token for old, token in added.items() if int(old) in numbers
        }
        write_json(file, values)


def check_same(
    keep: list[int],
    before: Comparison,
    after: Comparison,
    model: Any,
    expected: Predictions,
    logits: torch.Tensor,
) -> None:
    """Refuses a model that reads or answers a given text otherwise than before.

    Args:
        keep: The rows that stay.
        before: The given texts as the run reads them.
        after: The same as the trimmed model reads them.
        model: The trimmed model.
        expected: Predictions of the model with all of its rows, its adapter merged.
        logits: Outputs of the run itself.
    """
    found = np.array(keep)[after.features.input_ids]
    if not np.array_equal(found, before.features.input_ids):
        raise RuntimeError(
            "the trimmed tokenizer cuts a given text otherwise than before; nothing was written"
        )
    gap = parity_gap(logits, after.outputs(model))
    answers = after.predict(model)
    same = all(
        np.allclose(answers[name], array, atol=MERGE_TOLERANCE, rtol=MERGE_TOLERANCE)
        if np.issubdtype(array.dtype, np.floating)
        else np.array_equal(answers[name], array)
        for name, array in expected.items()
    )
    if gap > MERGE_TOLERANCE or not same:
        raise RuntimeError(
            "the trimmed model answers a given text otherwise than before (logits differ by "
            f"{gap:.2g}); nothing was written"
        )


def check_drift(drift: Drift, limit: float | None) -> None:
    """Refuses a model of which more predictions changed than the user allows."""
    max_drift = _USUAL_DRIFT if limit is None else limit
    if drift.drift > max_drift:
        raise UserError(
            f"compress: {drift.drift:.2%} of the predictions changed, more than --max-drift "
            f"{max_drift:g}; nothing was written. Give --trim-vocabulary more texts like those "
            "that the model will get (the training file, above all), or allow more"
        )
