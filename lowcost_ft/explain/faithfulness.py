"""Whether the words that an explanation names matter: what becomes of a decision without them.

Words are hidden, not deleted, as in the explanation itself. With the words ranked by their scores
and a share k of them:

- comprehensiveness: what a decision loses when these words are hidden. Higher is better.
- sufficiency: what it loses when all other words are hidden. Lower is better.

Each is the mean over k = 1, 5, 10, 20 and 50%, at least one word (DeYoung et al. 2020,
arXiv:1911.03429). What is lost is probability; of a predicted number, how far it moves. Beside them
stand the same figures for words in a random order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowcost_ft.explain.decided_row import DecidedRow

__all__ = ["Faithfulness", "faithfulness", "occlusion"]

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Of the words of a text."""


@dataclass(frozen=True, kw_only=True)
class Faithfulness:
    """How a decision moves without words, by the explanation and by chance."""

    comprehensiveness: float
    sufficiency: float
    random_comprehensiveness: float
    random_sufficiency: float


def occlusion(decided: DecidedRow, words: np.ndarray) -> np.ndarray:
    """What the value loses when each word is hidden alone, `(words,)`: the slow check.

    Args:
        decided: The decision.
        words: The word of each token, -1 for a token of none, `(tokens,)`.

    Source:
        Zeiler and Fergus (2014), Visualizing and Understanding Convolutional Networks, section 4.2.
    """
    count = int(words.max(initial=-1)) + 1
    shares = np.ones((count + 1, len(words)))
    for word in range(count):
        shares[word, words == word] = 0.0
    values = decided.values(shares)
    losses: np.ndarray = values[-1] - values[:-1]
    return losses


def faithfulness(
    decided: DecidedRow,
    words: np.ndarray,
    scores: Sequence[float],
    *,
    is_number: bool,
    random: np.random.Generator,
) -> Faithfulness:
    """What hiding words does to a decision.

    Args:
        decided: The decision.
        words: The word of each token, -1 for a token of none, `(tokens,)`.
        scores: The score of each word in the explanation.
        is_number: Whether the decision is a number: the order is then by the size of the scores.
        random: Draws the other order.
    """
    ranked = np.array(scores, float)
    orders = (
        np.argsort(-(np.abs(ranked) if is_number else ranked), kind="stable"),
        random.permutation(len(ranked)),
    )
    rows = [np.ones(len(words))]
    for order in orders:
        for share in SHARES:
            top = order[: max(1, round(share * len(order)))]
            chosen = np.isin(words, top)
            rows.append(np.where(chosen, 0.0, 1.0))
            rows.append(np.where(chosen | (words < 0), 1.0, 0.0))
    values = decided.values(np.stack(rows))
    if is_number:
        lost = np.abs(values[0] - values[1:])
    else:
        chances = 1 / (1 + np.exp(-np.clip(values, -700, 700)))
        lost = chances[0] - chances[1:]
    means = lost.reshape(2, len(SHARES), 2).mean(1)  # (orders, without and with alone)
    return Faithfulness(
        comprehensiveness=float(means[0, 0]),
        sufficiency=float(means[0, 1]),
        random_comprehensiveness=float(means[1, 0]),
        random_sufficiency=float(means[1, 1]),
    )
