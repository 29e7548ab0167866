"""What may be wrong with each entity: its type, its edges, that it is there, that one is missing.

A token's probability cannot say this. Here whole entities are compared: the given one, the same
words with another type, the same type on other words, and no entity at all. Each explains the words
around it with a likelihood, the product of its tags' probabilities; their shares, weighted by how
common such mistakes are, are the probabilities of the four answers. For missing entities, all ways
to place entities on the words between the given ones are summed up (a semi-Markov model; Sarawagi
and Cohen, 2004).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowcost_ft.scores.iob2 import Span

__all__ = ["KINDS", "EntityDoubt", "doubt_entities"]

KINDS = ("wrong_type", "wrong_edge", "invented_entity", "missing_entity")

_PRIOR = {"wrong_type": 0.03, "wrong_edge": 0.03, "invented_entity": 0.03, "missing_entity": 0.03}
"""Share of entities that each mistake is expected for, before anything is seen."""

_REACH = 3
"""Words by which an edge may be moved."""

_SOFTENING = 0.6
"""Weight of a word's log-likelihood, shared by the words of an entity: what a head does not know it
does not know of all of them alike, so that their plain product would be far too sure."""

_FURTHER = 0.3
"""How much rarer an edge is that is moved by one word more."""

_LONGEST = 6
"""Words of the longest entity that is looked for where none is."""

_FAINTEST = 0.02
"""Probability of its first word's tag from which on a missing entity is looked for."""

_FLOOR = 1e-6


@dataclass(frozen=True)
class EntityDoubt:
    """What is thought of one entity, or of words that may be one.

    Attributes:
        span: The given entity; for a missing one, the suggested.
        scores: The probability of each of `KINDS` (for a missing one, of that alone).
        suggested: What would be right for each of `scores`; None where no entity would.
    """

    span: Span
    scores: dict[str, float]
    suggested: dict[str, Span | None]


def doubt_entities(
    probabilities: np.ndarray, spans: Sequence[Span], tags: Sequence[str]
) -> list[EntityDoubt]:
    """Judges the entities of a sentence, and finds those that are missing.

    Args:
        probabilities: Probability of each tag for each word, `(words, tags)`.
        spans: The given entities, in words.
        tags: IOB2 tags in the order of the probabilities.
    """
    lattice = _Lattice(probabilities, tags)
    ordered = sorted(spans)
    doubts = []
    for place, span in enumerate(ordered):
        low = ordered[place - 1][1] if place else 0
        high = ordered[place + 1][0] if place + 1 < len(ordered) else len(probabilities)
        doubts.append(
            _doubt(lattice, span, max(low, span[0] - _REACH), min(high, span[1] + _REACH))
        )
    return doubts + _missing(lattice, ordered)


class _Lattice:
    """Log-likelihoods of tags along a sentence, summed up so that a path costs three look-ups."""

    def __init__(self, probabilities: np.ndarray, tags: Sequence[str]) -> None:
        logs = np.log(np.maximum(probabilities, _FLOOR))
        self.types = sorted({tag[2:] for tag in tags if tag != "O"})
        number = {tag: i for i, tag in enumerate(tags)}
        lowest = np.full(len(logs), np.log(_FLOOR))

        def column(tag: str) -> np.ndarray:
            return logs[:, number[tag]] if tag in number else lowest

        self.size = len(logs)
        self.begin = np.stack([column(f"B-{name}") for name in self.types], 1)  # (words, types)
        inside = np.stack([column(f"I-{name}") for name in self.types], 1)
        self.inside = np.vstack([np.zeros(len(self.types)), np.cumsum(inside, 0)])
        self.outside = np.append(0.0, np.cumsum(column("O")))

    def entity(self, start: int, end: int) -> np.ndarray:
        """Log-likelihood of an entity on these words, `(types,)`."""
        return self.begin[start] + self.inside[end] - self.inside[start + 1]

    def nothing(self, start: int, end: int) -> float:
        """Log-likelihood that no word there belongs to one."""
        return float(self.outside[end] - self.outside[start])


def _doubt(lattice: _Lattice, span: Span, low: int, high: int) -> EntityDoubt:
    start, end, label = span
    own = lattice.types.index(label)
    scale = _SOFTENING / (end - start)
    # Weight, log-likelihood and span of each way to be wrong.
    ways: dict[str, list[tuple[float, float, Span | None]]] = {kind: [] for kind in KINDS[:3]}
    right = 0.0
    for first in range(low, min(high, end)):
        for last in range(max(first, start) + 1, high + 1):
            around = lattice.nothing(low, first) + lattice.nothing(last, high)
            of_types = lattice.entity(first, last) + around
            if (first, last) == (start, end):
                right = scale * float(of_types[own])
                ways["wrong_type"] = [
                    (1.0, scale * float(value), (start, end, name))
                    for name, value in zip(lattice.types, of_types, strict=True)
                    if name != label
                ]
            else:
                moved = abs(first - start) + abs(last - end)
                weight = float(_FURTHER**moved)
                ways["wrong_edge"].append(
                    (weight, scale * float(of_types[own]), (first, last, label))
                )
    ways["invented_entity"].append((1.0, scale * lattice.nothing(low, high), None))
    right += np.log(1 - sum(_PRIOR[kind] for kind in ways))
    logs = {}
    for kind, found in ways.items():
        total = sum(weight for weight, _, _ in found)
        logs[kind] = [np.log(_PRIOR[kind] * w / total) + value for w, value, _ in found]
    highest = max([right, *(value for values in logs.values() for value in values)])
    shares = {kind: float(np.exp(np.subtract(v, highest)).sum()) for kind, v in logs.items()}
    whole = float(np.exp(right - highest)) + sum(shares.values())
    scores = {kind: share / whole for kind, share in shares.items() if ways[kind]}
    suggested = {
        kind: found[int(np.argmax(logs[kind]))][2] for kind, found in ways.items() if found
    }
    return EntityDoubt(span, scores, suggested)


def _missing(lattice: _Lattice, spans: Sequence[Span]) -> list[EntityDoubt]:
    borders = [0, *(border for start, end, _ in spans for border in (start, end)), lattice.size]
    doubts = []
    for low, high in zip(borders[::2], borders[1::2], strict=True):
        if low < high:
            doubts += _missing_between(lattice, low, high)
    return doubts


def _missing_between(lattice: _Lattice, low: int, high: int) -> list[EntityDoubt]:
    """Entities on words between given ones: the likeliest of those that overlap."""
    prior = np.log(_PRIOR["missing_entity"])
    starts = [i for i in range(low, high) if lattice.begin[i].max() > np.log(_FAINTEST)]
    if not starts:
        return []
    # Relative to no entity at all: the gain of each entity, and all ways to place several.
    gains: list[tuple[int, int, np.ndarray]] = []
    for start in starts:
        for end in range(start + 1, min(high, start + _LONGEST) + 1):
            gain = lattice.entity(start, end) - lattice.nothing(start, end) + prior
            if gain.max() > np.log(1e-4):
                gains.append((start, end, gain))
    before = np.full(high - low + 1, -np.inf)
    after = before.copy()
    before[0] = after[-1] = 0.0
    for place in range(1, high - low + 1):
        before[place] = np.logaddexp.reduce(
            [before[place - 1]]
            + [before[s - low] + np.logaddexp.reduce(g) for s, e, g in gains if e - low == place]
        )
    for place in range(high - low - 1, -1, -1):
        after[place] = np.logaddexp.reduce(
            [after[place + 1]]
            + [after[e - low] + np.logaddexp.reduce(g) for s, e, g in gains if s - low == place]
        )
    found = []
    for start, end, gain in gains:
        shares = np.exp(before[start - low] + gain + after[end - low] - before[-1])
        best = int(shares.argmax())
        found.append((float(shares[best]), (start, end, lattice.types[best])))
    doubts: list[EntityDoubt] = []
    taken: set[int] = set()
    any_entity = _covered(gains, before, after, low, high)
    for _, span in sorted(found, key=lambda one: -one[0]):
        if taken.isdisjoint(range(span[0], span[1])):
            taken.update(range(span[0], span[1]))
            score = float(max(any_entity[span[0] - low : span[1] - low]))
            doubts.append(EntityDoubt(span, {"missing_entity": score}, {"missing_entity": span}))
    return doubts


def _covered(
    gains: Sequence[tuple[int, int, np.ndarray]],
    before: np.ndarray,
    after: np.ndarray,
    low: int,
    high: int,
) -> np.ndarray:
    """The probability of each word that some entity covers it, `(words,)`."""
    covered = np.zeros(high - low)
    for start, end, gain in gains:
        share = np.exp(
            before[start - low] + np.logaddexp.reduce(gain) + after[end - low] - before[-1]
        )
        covered[start - low : end - low] += share
    return np.minimum(covered, 1.0)
