"""Adds up losses and gradients over the processes of a run."""

from collections.abc import Iterator, Sequence

import torch
from accelerate import Accelerator
from torch import nn

__all__ = ["add_up"]

_SUMMED_AT_ONCE = 4 * 2**20
"""Numbers of a gradient that the processes exchange together: each has two copies of them."""


def add_up(accelerator: Accelerator, trainable: Sequence[nn.Parameter], loss: torch.Tensor) -> None:
    """Replaces a loss, `()`, and the gradients by their sums over all processes, in place.

    They are exchanged some megabytes at a time.
    """
    if accelerator.num_processes == 1:
        return
    pieces = [loss.view(1)]
    for parameter in trainable:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        elif not parameter.grad.is_contiguous():
            parameter.grad = parameter.grad.contiguous()
        pieces += parameter.grad.view(-1).split(_SUMMED_AT_ONCE)
    for together in _up_to(_SUMMED_AT_ONCE, pieces):
        total = accelerator.reduce(torch.cat(together), reduction="sum")
        sums = total.split([len(piece) for piece in together])
        for piece, summed in zip(together, sums, strict=True):
            piece.copy_(summed)


def _up_to(most: int, pieces: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Groups the pieces in order, so that each group has at most so many numbers."""
    together: list[torch.Tensor] = []
    count = 0
    for piece in pieces:
        count += piece.numel()
        if together and count > most:
            yield together
            together, count = [], piece.numel()
        together.append(piece)
    yield together
