"""Which given labels are likely wrong, when mistakes between some classes are commoner than others.

The probability p(i | x) of the given class i alone does not say how likely it is a mistake: where
the model wavers between two classes, it is low for labels that are right, too. What decides is how
often class j is given as i. The table T[j, i] of these shares and the posterior
q(j | x, i) ~ p(j | x) T[j, i] are estimated in turns, by expectation maximisation (Dawid and Skene,
1979, with a model in place of the second annotator). Scattered mistakes leave T flat, so that only
sure ones are found; mistakes that go from one class to another show in T, and are found by it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lowcost_ft.doctor.folds import (
    deal_folds,
    held_out_probabilities,
    neighbour_probabilities,
)

__all__ = ["Doubts", "doubt_classes", "posterior"]

_TURNS = 20
_PSEUDO_ROWS = 50.0
"""Rows of each class for which mistakes are taken as scattered evenly, before any is seen."""

_FIRST_GUESS = 0.1
_SHARPENING = 0.6
"""Temperature of the probabilities: a regularised head on noisy labels is less sure than right."""

_TRUSTED = 0.1
"""Rows whose given class is less likely than this do not teach the second round."""

_NEIGHBOURS_SHARE = 0.5
_SMALLEST_CLASS = 3
"""Different inputs of a class that is judged; other classes have no peers that a head could learn
from."""


@dataclass(frozen=True)
class Doubts:
    """What is thought of the given classes.

    Attributes:
        scores: How likely each is wrong, from 0 to 1, `(rows,)`; 0.5 where nothing can be said.
        suggested: The likeliest other class, `(rows,)`.
        certainty: The posterior of that class, `(rows,)`.
        judged: Whether anything can be said, `(rows,)`.
        noise: Estimated share of wrong labels.
    """

    scores: np.ndarray
    suggested: np.ndarray
    certainty: np.ndarray
    judged: np.ndarray
    noise: float


def doubt_classes(
    states: np.ndarray,
    classes: np.ndarray,
    groups: np.ndarray,
    *,
    num_classes: int,
    seed: int = 0,
    train: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Doubts:
    """Judges the class of each row by the other rows.

    A head is trained on all other folds, then again without the rows that it finds least likely,
    since labels that are wrong also teach it. The mean of its probabilities and those of the
    nearest neighbours enters the model of mistakes.

    Args:
        states: `(rows, hidden)`, each of length 1.
        classes: Number of the given class of each row, `(rows,)`.
        groups: Rows of one number have the same input, `(rows,)`.
        num_classes: Number of classes.
        seed: Deals the folds.
        train: Trains models in place of the second head: takes the fold of each row and which rows
            may be learned from, returns probabilities, `(rows, classes)`.
    """
    rows = np.arange(len(classes))
    folds = deal_folds(groups.tolist(), classes.tolist(), seed=seed)
    first = held_out_probabilities(
        states, classes, folds, num_classes=num_classes, description="judging labels, 1 of 2"
    )
    trusted = first[rows, classes] > _TRUSTED
    # Without rows of its own, a class would be found impossible, and so each of its rows wrong.
    left = np.bincount(classes[trusted], minlength=num_classes)
    trusted |= left[classes] < _SMALLEST_CLASS
    if train is not None:
        head = train(folds, trusted)
    else:
        head = held_out_probabilities(
            states, classes, folds, num_classes=num_classes, trusted=trusted,
            description="judging labels, 2 of 2",
        )  # fmt: skip
    near = neighbour_probabilities(
        states, classes, groups, num_classes=num_classes, trusted=trusted, seed=seed
    )
    share = _NEIGHBOURS_SHARE
    mixed, noise = posterior((1 - share) * head + share * near, classes)
    different = np.unique(np.stack([groups, classes]), axis=1)[1]
    judged = np.bincount(different, minlength=num_classes)[classes] >= _SMALLEST_CLASS
    others = mixed.copy()
    others[rows, classes] = -1.0
    suggested = others.argmax(1)
    scores = np.where(judged, 1 - mixed[rows, classes], 0.5)
    return Doubts(scores, suggested, mixed[rows, suggested], judged, noise)


def posterior(probabilities: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, float]:
    """The probability of each class given what the model and the annotator say.

    Args:
        probabilities: Probability of each class by the model, `(rows, classes)`.
        classes: Number of the given class, `(rows,)`.

    Returns:
        `(rows, classes)`, and the estimated share of wrong labels.
    """
    size = probabilities.shape[1]
    sharp = np.log(probabilities + 1e-9) / _SHARPENING
    sharp = np.exp(sharp - sharp.max(1, keepdims=True))
    sharp /= sharp.sum(1, keepdims=True)
    if size < 2:
        return sharp, 0.0
    rate = _FIRST_GUESS
    given_as = _even(size, rate)  # (true, given)
    mixed = sharp
    for _ in range(_TURNS):
        mixed = sharp * given_as[:, classes].T
        mixed /= np.maximum(mixed.sum(1, keepdims=True), 1e-300)
        counts = np.zeros((size, size))  # (given, true)
        np.add.at(counts, classes, mixed)
        rate = float(1 - np.trace(counts) / counts.sum())
        prior = _even(size, rate)
        given_as = (counts.T + _PSEUDO_ROWS * prior) / (counts.sum(0)[:, None] + _PSEUDO_ROWS)
    return mixed, rate


def _even(size: int, rate: float) -> np.ndarray:
    table = np.full((size, size), rate / (size - 1))
    np.fill_diagonal(table, 1 - rate)
    return table
