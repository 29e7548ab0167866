"""Probabilities for rows that a small head on frozen states has not been trained on."""

import sys
import warnings
from collections.abc import Hashable, Sequence

import numpy as np
from tqdm.auto import tqdm

__all__ = ["deal_folds", "held_out_probabilities", "neighbour_probabilities"]

FOLDS = 5
REGULARIZATION = 10.0
"""scikit-learn's C of the head: on normalised embeddings, 1 learns too little from few rows."""

_NEIGHBOURS = 30
_NEIGHBOUR_TEMPERATURE = 0.05
_MOST_NEIGHBOURS_OF = 50_000
"""Rows among which neighbours are looked for; of larger data, a random part."""

_BLOCK = 1000


def deal_folds(
    groups: Sequence[Hashable], classes: Sequence[Hashable], *, folds: int = FOLDS, seed: int = 0
) -> np.ndarray:
    """Deals rows into folds, each class evenly, rows with the same input into the same fold.

    A row whose twin the head was trained on would be judged by that twin alone.

    Args:
        groups: What rows of one fold share, `(rows,)`.
        classes: What is dealt evenly, `(rows,)`.
        folds: Number of folds.
        seed: Decides the order.

    Returns:
        The fold of each row, `(rows,)`.
    """
    first: dict[Hashable, int] = {}
    for row, group in enumerate(groups):
        first.setdefault(group, row)
    random = np.random.default_rng(seed)
    shuffled = random.permutation(np.fromiter(first.values(), np.int64))
    ordered = sorted(shuffled.tolist(), key=lambda row: str(classes[row]))
    fold_of = {groups[row]: place % folds for place, row in enumerate(ordered)}
    return np.array([fold_of[group] for group in groups], np.int64)


def held_out_probabilities(
    states: np.ndarray,
    classes: np.ndarray,
    folds: np.ndarray,
    *,
    num_classes: int,
    trusted: np.ndarray | None = None,
    strength: float = REGULARIZATION,
    description: str = "judging labels",
) -> np.ndarray:
    """Probabilities of each class for each row, by a logistic regression on the other folds.

    Args:
        states: `(rows, hidden)`.
        classes: Number of the class of each row, `(rows,)`.
        folds: The fold of each row, `(rows,)`.
        num_classes: Number of classes.
        trusted: Which rows the head may be trained on; None: all.
        strength: scikit-learn's C.
        description: What the bar on the screen says.

    Returns:
        `(rows, classes)`; zero for a class that none of the other folds has.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    found = np.zeros((len(states), num_classes))
    for fold in tqdm(
        np.unique(folds), desc=description, unit="fold", file=sys.stderr, disable=None, leave=False
    ):
        held_out, used = folds == fold, folds != fold
        if trusted is not None and len(np.unique(classes[used & trusted])) > 1:
            used = used & trusted
        present = np.unique(classes[used])
        if len(present) < 2:
            found[np.ix_(held_out, present)] = 1.0
            continue
        head = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            head.fit(states[used], classes[used])
        found[np.ix_(held_out, head.classes_)] = head.predict_proba(states[held_out])
    return found


def neighbour_probabilities(
    states: np.ndarray,
    classes: np.ndarray,
    groups: np.ndarray,
    *,
    num_classes: int,
    trusted: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Shares of the classes among the nearest other rows, nearer ones counting more.

    Args:
        states: `(rows, hidden)`, each of length 1.
        classes: Number of the class of each row, `(rows,)`.
        groups: Rows of one number have the same input, and are no neighbours, `(rows,)`.
        num_classes: Number of classes.
        trusted: Which rows count; None: all.
        seed: Decides which rows count where there are very many.

    Returns:
        `(rows, classes)`.
    """
    pool = np.arange(len(states)) if trusted is None else np.flatnonzero(trusted)
    if len(pool) > _MOST_NEIGHBOURS_OF:
        random = np.random.default_rng(seed)
        pool = np.sort(random.choice(pool, _MOST_NEIGHBOURS_OF, replace=False))
    count = min(_NEIGHBOURS, len(pool) - 1)
    found = np.full((len(states), num_classes), 1e-12)
    if count < 1:
        return found / found.sum(1, keepdims=True)
    for start in range(0, len(states), _BLOCK):
        rows = slice(start, start + _BLOCK)
        likeness = states[rows] @ states[pool].T  # (block, pool)
        likeness[groups[rows, None] == groups[None, pool]] = -np.inf
        nearest = np.argpartition(-likeness, count, axis=1)[:, :count]
        weights = np.exp(np.take_along_axis(likeness, nearest, 1) / _NEIGHBOUR_TEMPERATURE)
        block = np.arange(start, start + len(likeness))
        for place in range(count):
            np.add.at(found, (block, classes[pool[nearest[:, place]]]), weights[:, place])
    return found / found.sum(1, keepdims=True)
