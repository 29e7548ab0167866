"""Mistakes at random places: each kind by itself, in more and more of the words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowcost_ft.attack.changed_texts import Editable, Place, Places, editable, with_edits
from lowcost_ft.data.noise import Noise

__all__ = ["SHARES", "at_random", "noisy_examples"]

SHARES = (0.05, 0.1, 0.2, 0.4)
"""Of the words of a text that are changed."""


def noisy_examples(
    task: Any, examples: Sequence[Any], kind: str, noise: Noise, share: float, *, seed: int
) -> tuple[list[Any], int]:
    """Examples with mistakes of one kind.

    Args:
        task: Their task.
        examples: Labelled ones.
        kind: Name of the kind.
        noise: What it does.
        share: Of the words of each text; of entities and of marks, of these. Where that is no whole
            number of words, chance decides on the last one.
        seed: Decides, with the number of an example, where mistakes are made.

    Returns:
        The examples, in their order, and how many of them were changed.
    """
    found, changed = [], 0
    for number, example in enumerate(examples):
        random = np.random.default_rng([seed, number])
        one = editable(task, example, {kind: noise}, random)
        of = len(one.words) if kind in ("entities", "run-on") else one.length
        count = int(share * of + random.random())
        other = at_random(task, one, count, random)
        found.append(example if other is None else other)
        changed += other is not None
    return found, changed


def at_random(task: Any, one: Editable, count: int, random: np.random.Generator) -> Any:
    """The example with an edit in so many of its words, or in all that have some; None: in none."""
    order = iter(random.permutation(len(one.words)).tolist())
    kept: list[Place] = []
    while len(kept) < count:
        # Words of different kinds of noise may be of one place: an entity, and a word inside of it.
        apart, more = Places(kept), list[Place]()
        while len(kept) + len(more) < count and (word := next(order, None)) is not None:
            edits = one.words[word]
            place = edits[random.integers(len(edits))]
            if not apart.meets(place):
                apart.add(place)
                more.append(place)
        if not more:
            break
        kept = _possible(task, one, kept, more)
    return with_edits(task, one, kept)


def _possible(task: Any, one: Editable, kept: list[Place], more: Sequence[Place]) -> list[Place]:
    """Some edits, and those of `more` after which the truth can still be told.

    All together are tried first: one after another, a text of thousands of words would be written
    anew for each.
    """
    if with_edits(task, one, [*kept, *more]) is not None:
        return [*kept, *more]
    if len(more) == 1:
        return kept
    half = len(more) // 2
    return _possible(task, one, _possible(task, one, kept, more[:half]), more[half:])
