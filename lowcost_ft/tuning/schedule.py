"""Successive halving: which trial trains next and up to which epoch, from what is known so far.

Trials come in brackets. All of a bracket train for a few epochs of the full schedule, a third of
them goes on, and a third of these trains to the end (Jamieson and Talwalkar 2016,
arXiv:1502.07943). The first trial, which has the recipe's own settings, always trains to the end:
what replaces them must have beaten them there.
What is done next follows from the trials alone, so that a search that was killed goes on as if it
had not been.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ETA", "Entry", "Step", "bracket_size", "next_step", "rungs_of"]

ETA = 3
"""One trial of so many goes on."""
_RUNGS = 3
_OWN = 0
"""Number of the trial with the recipe's own settings."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A trial as halving sees it.

    Attributes:
        number: Its number.
        scores: The best validation score up to an epoch, for each rung that it has reached.
        state: "refused" trials did not fit into memory, or contradict themselves: they do not
            count. "failed" ones count and are never promoted.
    """

    number: int
    scores: dict[int, float] = field(default_factory=dict)
    state: Literal["open", "pruned", "complete", "failed", "refused"] = "open"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What to do next.

    Attributes:
        kind: "ask" for a new trial, "train" one up to `epoch`, "prune" or "complete" one, or
            "done".
        number: The trial's number.
        epoch: Where it pauses.
    """

    kind: Literal["ask", "train", "prune", "complete", "done"]
    number: int = -1
    epoch: int = 0


def rungs_of(epochs: int, every: int) -> tuple[int, ...]:
    """Epochs at which trials pause: a ninth, a third, and all of the full length.

    Args:
        epochs: The full length.
        every: Epochs between two validation scores.
    """
    # Rounded up: after one epoch of ten, slow starters lose that win in the end. On the sample the
    # recipe's own settings were among them.
    wanted = [-(-epochs // ETA**power) for power in range(_RUNGS)]
    return tuple(sorted({min(epochs, -(-epoch // every) * every) for epoch in wanted}))


def bracket_size(rungs: Sequence[int]) -> int:
    """Trials of a bracket, of which one trains to the end, and the first trial if it is there."""
    return ETA ** (len(rungs) - 1)


def next_step(entries: Sequence[Entry], rungs: Sequence[int], trials: int) -> Step:
    """What to do next.

    Args:
        entries: All trials so far, in the order in which they were asked for.
        rungs: Epochs at which trials pause, ascending.
        trials: How many are to be tried.
    """
    counted = [entry for entry in entries if entry.state != "refused"]
    size = bracket_size(rungs)
    for start in range(0, trials, size):
        members = counted[start : min(start + size, trials)]
        for entry in members:
            if entry.state == "open" and rungs[0] not in entry.scores:
                return Step(kind="train", number=entry.number, epoch=rungs[0])
        if len(members) < min(size, trials - start):
            return Step(kind="ask")
        if (step := _halved(members, rungs)) is not None:
            return step
    return Step(kind="done")


def _halved(members: Sequence[Entry], rungs: Sequence[int]) -> Step | None:
    """What is left to do in a bracket whose trials are all there; None when nothing is."""
    for place, rung in enumerate(rungs):
        there = [entry for entry in members if rung in entry.scores and entry.state != "failed"]
        ranked = sorted(there, key=lambda entry: (-entry.scores[rung], entry.number))
        last = place == len(rungs) - 1
        most = len(ranked) if last else max(1, len(ranked) // ETA)
        kept = [entry for at, entry in enumerate(ranked) if at < most or entry.number == _OWN]
        for entry in there:
            if entry.state == "open" and entry not in kept:
                return Step(kind="prune", number=entry.number)
        for entry in kept:
            if entry.state != "open":
                continue
            if last:
                return Step(kind="complete", number=entry.number)
            if rungs[place + 1] not in entry.scores:
                return Step(kind="train", number=entry.number, epoch=rungs[place + 1])
    return None
