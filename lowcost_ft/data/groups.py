"""Texts dealt into groups of a few classes each: what contrastive training compares."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from lowcost_ft.data.features import Array, Features

__all__ = ["deal_folds", "deal_groups", "grouped_features"]

FOLDS = 8


def deal_groups(classes: np.ndarray, size: int, *, seed: Sequence[int]) -> np.ndarray:
    """Deals the texts of an epoch into groups of equal size.

    A group has `size // 2` classes, or all where there are fewer, with as many texts of each, so
    that every text meets one of its own class and several of others. Where the classes do not
    divide the size, some have a text more, and the texts that are left over wait for another
    epoch. Texts are dealt again where a class has too few left. The number of groups depends on
    the sizes of the classes alone.

    Args:
        classes: Number of each text's class, `(texts,)`, at least two of them.
        size: Texts of a group, an even number of at least 4.
        seed: Decides the order.

    Returns:
        Numbers of texts, `(groups, size)`; those of one class stand together.
    """
    random = np.random.default_rng(seed)
    names, counts = np.unique(classes, return_counts=True)
    together = min(len(names), size // 2)
    # Shares of a group, the first ones larger where the classes do not divide it.
    each = np.full(together, size // together)
    each[: size % together] += 1
    largest = int(each.max())
    waiting: dict[int, list[np.ndarray]] = {}
    for name, count in zip(names, counts, strict=True):
        own = random.permutation(np.flatnonzero(classes == name))
        pieces = -(-count // largest)
        filled = np.concatenate([own, np.resize(own, pieces * largest - count)])
        waiting[int(name)] = list(filled.reshape(pieces, largest))
    groups = []
    while any(waiting.values()):
        # Classes with most left come first, so that they do not stay alone at the end.
        order = sorted(random.permutation(names).tolist(), key=lambda name: -len(waiting[name]))
        parts = []
        for name, share in zip(order[:together], random.permutation(each), strict=True):
            if waiting[name]:
                piece = waiting[name].pop()
            else:
                piece = np.resize(random.permutation(np.flatnonzero(classes == name)), largest)
            parts.append(piece[:share])
        groups.append(np.concatenate(parts))
    return np.stack(groups)


def deal_folds(
    classes: np.ndarray, texts: np.ndarray, *, seed: int, known: Collection[int] = ()
) -> np.ndarray:
    """Deals the texts of each class into folds, as evenly as can be; equal texts into one.

    Args:
        classes: Number of each text's class, `(texts,)`.
        texts: A number for each text that only equal ones share, `(texts,)`.
        seed: Decides which text goes where.
        known: Classes that have another text, beside these.

    Returns:
        The number of each text's fold, `(texts,)`; -1 where the class would have no other text.
    """
    random = np.random.default_rng(seed)
    different, first, number = np.unique(texts, return_index=True, return_inverse=True)
    folds = np.full(len(different), -1)
    for name in np.unique(classes):
        own = random.permutation(np.flatnonzero(classes[first] == name))
        folds[own] = (np.arange(len(own)) + random.integers(FOLDS)) % FOLDS
    # Folds without a text need no head.
    folds = np.unique(folds, return_inverse=True)[1][number]
    for name in set(np.unique(classes)) - set(known):
        if len(np.unique(folds[classes == name])) == 1:
            folds[classes == name] = -1
    return folds


def grouped_features(features: Features, groups: np.ndarray, **arrays: np.ndarray) -> Features:
    """Features whose rows hold the texts of a group, one after the other.

    Args:
        features: One row a text.
        groups: Numbers of texts, `(groups, size)`.
        **arrays: What each group has beside its tokens, `(groups, ...)`.
    """
    members = groups.ravel()
    lengths = features.lengths[members]
    source = np.repeat(features.starts[members], lengths) + (
        np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    )
    parts = lengths.reshape(groups.shape)
    types = features.token_type_ids
    return replace(
        features,
        input_ids=features.input_ids[source],
        starts=np.concatenate([[0], np.cumsum(parts.sum(1))]),
        examples=np.arange(len(groups)),
        num_examples=len(groups),
        weights=np.ones(len(groups)),
        token_type_ids=None if types is None else types[source],
        arrays=dict(arrays),
        schema={name: Array("row") for name in arrays},
        parts=parts,
        members=groups,
    )
