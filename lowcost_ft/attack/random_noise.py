"""Mistakes at random places: each kind by itself, in more and more of the words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowcost_ft.attack.changed_texts import Editable, Place, editable, meets, with_edits
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
    order = random.permutation(len(one.words))
    kept: list[Place] = []
    other = None
    for word in order:
        if len(kept) == count:
            break
        edits = one.words[word]
        place = edits[random.integers(len(edits))]
        # Words of different kinds of noise may be of one place: an entity, and a word inside of it.
        tried = None if meets(place, kept) else with_edits(task, one, [*kept, place])
        if tried is not None:
            kept.append(place)
            other = tried
    return other
