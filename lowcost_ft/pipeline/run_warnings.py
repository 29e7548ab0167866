"""Whether a run learned anything: warnings in plain words, each with what to try."""

import zlib
from collections.abc import Iterable, Mapping, Sequence

import torch

__all__ = ["checksums", "run_warnings", "unmoved_parts"]

_RATES = (
    "try another --learning-rate (LoRA needs about ten times the rate of full fine-tuning; with "
    "too high a rate training collapses)"
)


def checksums(parameters: Iterable[tuple[str, torch.Tensor]]) -> dict[str, int]:
    """A checksum of each trainable parameter, to see later whether it has changed."""
    found = {}
    for name, parameter in parameters:
        if parameter.requires_grad:
            flat = parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            found[name] = zlib.crc32(flat.numpy().data)
    return found


def unmoved_parts(
    before: Mapping[str, int], after: Mapping[str, int], head_names: Sequence[str]
) -> list[str]:
    """Which of `head` and `adapter` (everything else that trains) have not changed at all."""
    parts: dict[str, list[bool]] = {"adapter": [], "head": []}
    for name, checksum in before.items():
        in_head = any(f".{head}." in f".{name}" for head in head_names)
        part = "head" if in_head else "adapter"
        parts[part].append(after[name] != checksum)
    return [part for part, moved in parts.items() if moved and not any(moved)]


def run_warnings(
    doubts: Sequence[str],
    nothing_learned: str | None,
    *,
    unmoved: Sequence[str] = (),
    bad_steps: int = 0,
    warmup_ratio: float = 0.0,
) -> list[str]:
    """The warnings at the end of a run.

    Args:
        doubts: Warnings of the task; see `Task.doubts`.
        nothing_learned: How it shows that the model learned nothing; None if it learned.
        unmoved: Parts of the model that training did not change.
        bad_steps: Number of steps that were skipped because their numbers were not finite.
        warmup_ratio: Share of the steps in which the learning rate rose.
    """
    found = []
    if unmoved:
        parts = " and ".join(f"the {part}" for part in unmoved)
        found.append(
            f"training did not change {parts}: check that --learning-rate is not too small "
            "and that there are more steps than the warm-up takes"
        )
    found += doubts
    if nothing_learned and not unmoved:
        warmup = ", a --warmup-ratio of 0.1" * (warmup_ratio < 0.1)
        found.append(
            f"{nothing_learned}; {_RATES}{warmup}, and more --num-train-epochs or --max-steps"
        )
    if bad_steps:
        found.append(
            f"{bad_steps} steps were skipped because the loss or its gradient was not finite: the "
            "examples are listed in run.json under train.bad_steps"
        )
    return found
