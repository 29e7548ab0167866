"""Whether a run learned anything: warnings in plain words, each with what to try."""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

__all__ = ["checksums", "run_warnings", "unmoved_parts"]

_RATES = (
    "try another --learning-rate (LoRA wants about ten times that of full fine-tuning; too high a "
    "rate collapses)"
)


def checksums(parameters: Iterable[tuple[str, torch.Tensor]]) -> dict[str, int]:
    """A checksum of each parameter that trains, to see later whether it moved."""
    found = {}
    for name, parameter in parameters:
        if parameter.requires_grad:
            flat = parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            found[name] = zlib.crc32(flat.numpy().data)
    return found


def unmoved_parts(
    before: Mapping[str, int], after: Mapping[str, int], head_names: Sequence[str]
) -> list[str]:
    """Which of `head` and `adapter` (all that trains besides) is bit by bit what it was."""
    parts: dict[str, list[bool]] = {"adapter": [], "head": []}
    for name, checksum in before.items():
        part = "head" if set(name.split(".")) & set(head_names) else "adapter"
        parts[part].append(after[name] != checksum)
    return [part for part, moved in parts.items() if moved and not any(moved)]


def run_warnings(
    problem_type: str | None,
    split: str,
    examples: Sequence[Any],
    scores: Mapping[str, Any],
    *,
    unmoved: Sequence[str] = (),
    bad_steps: int = 0,
    warmup_ratio: float = 0.0,
) -> list[str]:
    """What a user should not overlook at the end of a run.

    Args:
        problem_type: Of text classification; None for NER.
        split: Name of the scored split.
        examples: Its examples.
        scores: Its scores.
        unmoved: Parts of the model that training did not change.
        bad_steps: Steps that were left out since their numbers were not finite.
        warmup_ratio: Share of the steps in which the rate rose.
    """
    found = []
    if unmoved:
        parts = " and ".join(f"the {part}" for part in unmoved)
        found.append(
            f"training changed nothing in {parts}: see that --learning-rate is not tiny and that "
            "there are more steps than the warm-up takes"
        )
    if problem_type is None and not _any_entity(examples):
        found.append(
            f"the {split} split holds no entity, so its scores say nothing of the model: give a "
            "file in which there are some"
        )
    if (reason := _collapsed(problem_type, split, examples, scores)) and not unmoved:
        warmup = ", a --warmup-ratio of 0.1" * (warmup_ratio < 0.1)
        found.append(f"{reason}; {_RATES}{warmup}, and more --num-train-epochs or --max-steps")
    if bad_steps:
        found.append(
            f"{bad_steps} steps were left out, since loss or gradient was no finite number: see "
            "the examples in run.json, train.bad_steps"
        )
    return found


def _any_entity(examples: Sequence[Any]) -> bool:
    return any(tag != "O" for example in examples for tag in example.tags or ())


def _collapsed(
    problem_type: str | None, split: str, examples: Sequence[Any], scores: Mapping[str, Any]
) -> str | None:
    if problem_type is None:
        if _any_entity(examples) and scores["f1"] == 0:
            return f"not one entity of the {split} split was found"
    elif problem_type == "multi_label_classification":
        if any(example.label for example in examples) and scores["micro_f1"] == 0:
            return f"not one label of the {split} split was found"
    elif problem_type == "regression":
        variance = float(np.var([example.label for example in examples]))
        if variance > 0 and scores["mse"] >= variance:
            return f"on the {split} split the model is no better than always giving the mean"
    else:
        counts = Counter(example.label for example in examples)
        label, count = counts.most_common(1)[0]
        if len(counts) > 1 and scores["accuracy"] <= count / len(examples):
            return (
                f"on the {split} split the model is no better than always answering {label!r} "
                f"({count / len(examples):.3f} accuracy)"
            )
    return None
