"""Whether a run learned anything: warnings in plain words, each with what to try."""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lowcost_ft.scores.thresholds import best_micro_f1, constant_micro_f1

__all__ = ["checksums", "run_warnings", "unmoved_parts"]

_CLEARLY = 0.9
"""The best threshold, known afterwards, is a little better than chance on any scores."""

_RATES = (
    "try another --learning-rate (LoRA needs about ten times the rate of full fine-tuning; with "
    "too high a rate training collapses)"
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
    label_scores: np.ndarray | None = None,
    labels: Sequence[str] = (),
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
        label_scores: For multi-label, the score of each label, `(examples, labels)`.
        labels: The labels of its columns.
    """
    found = []
    if unmoved:
        parts = " and ".join(f"the {part}" for part in unmoved)
        found.append(
            f"training did not change {parts}: check that --learning-rate is not too small "
            "and that there are more steps than the warm-up takes"
        )
    if problem_type is None and not _any_entity(examples):
        found.append(
            f"the {split} split contains no entities, so its scores say nothing about the model: "
            "give a file that contains some"
        )
    reason = _collapsed(problem_type, split, examples, scores)
    if problem_type == "multi_label_classification" and label_scores is not None:
        truth = np.array([[label in (e.label or ()) for label in labels] for e in examples])
        constant, reachable = constant_micro_f1(truth), best_micro_f1(label_scores, truth)
        reason = None
        if scores["micro_f1"] <= constant < reachable * _CLEARLY:
            found.append(
                f"on the {split} split the thresholds find no more than the same labels for every "
                f"text would (micro F1 {scores['micro_f1']:.3f}), though the scores reach "
                f"{reachable:.3f} with another one: choose them on more validation rows, or give "
                f"`lowcost-ft predict` a --threshold"
            )
        elif scores["micro_f1"] <= constant and (truth != truth[0]).any():
            reason = (
                f"on the {split} split neither labels nor their scores are better than always "
                f"giving the same labels (micro F1 {constant:.3f})"
            )
    if reason and not unmoved:
        warmup = ", a --warmup-ratio of 0.1" * (warmup_ratio < 0.1)
        found.append(f"{reason}; {_RATES}{warmup}, and more --num-train-epochs or --max-steps")
    if bad_steps:
        found.append(
            f"{bad_steps} steps were skipped because the loss or its gradient was not finite: the "
            "examples are listed in run.json under train.bad_steps"
        )
    return found


def _any_entity(examples: Sequence[Any]) -> bool:
    return any(tag != "O" for example in examples for tag in example.tags or ())


def _collapsed(
    problem_type: str | None, split: str, examples: Sequence[Any], scores: Mapping[str, Any]
) -> str | None:
    if problem_type is None:
        if _any_entity(examples) and scores["f1"] == 0:
            return f"the model found none of the entities in the {split} split"
    elif problem_type == "multi_label_classification":
        if any(example.label for example in examples) and scores["micro_f1"] == 0:
            return f"the model found none of the labels in the {split} split"
    elif problem_type == "regression":
        variance = float(np.var([example.label for example in examples]))
        if variance > 0 and scores["mse"] >= variance:
            return f"on the {split} split the model is no better than always predicting the mean"
    else:
        counts = Counter(example.label for example in examples)
        label, count = counts.most_common(1)[0]
        if len(counts) > 1 and scores["accuracy"] <= count / len(examples):
            return (
                f"on the {split} split the model is no better than always predicting {label!r} "
                f"({count / len(examples):.3f} accuracy)"
            )
    return None
