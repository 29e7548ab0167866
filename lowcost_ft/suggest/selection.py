"""Which rows of a pool to label next: uncertain ones that differ from one another."""

import warnings

import numpy as np

__all__ = ["choose_rows", "choose_typical"]

CANDIDATES = 10
"""Most uncertain rows among which variety chooses, for each row that is wanted: fewer would be
alike, more would be certain (Citovsky et al. 2021, arXiv:2107.14263, use the same factor)."""

MOST_ROWS = 20_000
"""Rows that are grouped at once; of a larger pool, a random part."""

_STARTS = 3
"""Beginnings that k-means tries."""


def choose_rows(
    states: np.ndarray, uncertainty: np.ndarray, number: int, *, seed: int = 0
) -> np.ndarray:
    """Chooses rows that a model is unsure of and that are unlike one another.

    The most uncertain rows are grouped by k-means, in which a row weighs as much as it is
    uncertain, and the row nearest to the centre of each group is taken (Zhdanov 2019,
    arXiv:1901.05954).

    Args:
        states: Embeddings of the pool, `(rows, hidden)`.
        uncertainty: How unsure the model is of each, at least 0, `(rows,)`.
        number: How many rows to choose.
        seed: Decides where the grouping begins.

    Returns:
        The chosen rows, the most uncertain first, `(number,)`, fewer where the pool has fewer.
    """
    number = min(number, len(states))
    ranked = np.argsort(-uncertainty, kind="stable")
    kept = ranked[: min(CANDIDATES * number, MOST_ROWS)]
    if len(kept) > number:
        groups, distances = _grouped(
            states[kept], number, weights=np.maximum(uncertainty[kept], 1e-9), seed=seed
        )
        kept = kept[_nearest(groups, distances, number)]
    return kept[np.argsort(-uncertainty[kept], kind="stable")]


def choose_typical(
    states: np.ndarray, number: int, *, labelled: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """Chooses rows that stand for many others, without a model that was trained (a cold start).

    The pool is grouped together with what is labelled already, into as many groups as there will
    be labelled rows. The row nearest to the centre of a group is taken, from groups with fewest
    labelled rows first and from the largest of those (after Hacohen et al. 2022,
    arXiv:2202.02794).

    Args:
        states: Embeddings of the pool, `(rows, hidden)`.
        number: How many rows to choose.
        labelled: Embeddings of the rows that are labelled already, `(labelled, hidden)`.
        seed: Decides where the grouping begins, and the part of a large pool that is grouped.

    Returns:
        The chosen rows, those of large groups first, `(number,)`, fewer where the pool has fewer.
    """
    kept = np.arange(len(states))
    if len(kept) > max(MOST_ROWS, number):
        random = np.random.default_rng(seed)
        kept = np.sort(random.choice(kept, max(MOST_ROWS, number), replace=False))
    if len(kept) <= number:
        return kept
    known = np.empty((0, states.shape[1]), states.dtype) if labelled is None else labelled
    known = known[-MOST_ROWS:]
    count = min(number + len(known), len(kept))
    groups, distances = _grouped(np.vstack([states[kept], known]), count, seed=seed)
    inside, near = groups[: len(kept)], distances[: len(kept)]
    covered = np.bincount(groups[len(kept) :], minlength=count)
    sizes = np.bincount(inside, minlength=count)
    # In rounds, each of which takes one row of each group: groups may be fewer than rows wanted.
    rounds = np.empty(len(kept), np.int64)
    taken = np.zeros(count, np.int64)
    for row in np.argsort(near, kind="stable"):
        rounds[row] = taken[inside[row]]
        taken[inside[row]] += 1
    order = np.lexsort((near, -sizes[inside], covered[inside], rounds))
    return kept[order[:number]]


def _nearest(groups: np.ndarray, distances: np.ndarray, number: int) -> np.ndarray:
    """The row nearest to the centre of each group; then, where groups were empty, others."""
    order = np.argsort(distances, kind="stable")
    _, first = np.unique(groups[order], return_index=True)
    chosen = order[np.sort(first)]
    if len(chosen) < number:
        rest = order[~np.isin(order, chosen)]
        chosen = np.concatenate([chosen, rest[: number - len(chosen)]])
    return chosen[:number]


def _grouped(
    states: np.ndarray, count: int, *, weights: np.ndarray | None = None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The group of each row by k-means, and how far it is from the group's centre."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # Rows that are repeated.
        means = KMeans(count, n_init=_STARTS, random_state=seed).fit(states, sample_weight=weights)
    gaps = states - means.cluster_centers_[means.labels_]
    return means.labels_, np.linalg.norm(gaps, axis=1)
