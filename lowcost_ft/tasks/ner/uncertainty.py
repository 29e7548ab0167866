"""How unsure a model is of the entities of a sentence: each counts once, however many words."""

from collections.abc import Sequence

import numpy as np

from lowcost_ft.tasks.ner.tagging import tags_to_spans

__all__ = ["unsure_of_entities"]

POSSIBLE = 0.1
"""Doubt from which on a word outside of entities may belong to one that was not found."""


def unsure_of_entities(tags: Sequence[str], probabilities: np.ndarray) -> float:
    """How many entities of a sentence are expected to be wrong, invented or missing.

    An entity is doubted as much as the least probable of its tags. Neighbouring words outside of
    entities that are doubted are one entity that may be missing.

    Args:
        tags: Legal IOB2 tags, `(words,)`.
        probabilities: That of each tag, `(words,)`.

    Returns:
        The sum of the doubts, at least 0.
    """
    doubts = 1 - np.asarray(probabilities, np.float64)
    total = 0.0
    inside = np.zeros(len(tags), bool)
    for start, end, _ in tags_to_spans(list(tags)):
        inside[start:end] = True
        total += float(doubts[start:end].max())
    open_run = 0.0
    for doubt, taken in zip(doubts, inside, strict=True):
        if not taken and doubt >= POSSIBLE:
            open_run = max(open_run, float(doubt))
        else:
            total, open_run = total + open_run, 0.0
    return total + open_run
