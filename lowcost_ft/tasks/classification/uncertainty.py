"""How unsure a model is of the class, or the labels, of each text."""

import numpy as np

__all__ = ["unsure_of_classes", "unsure_of_labels"]


def unsure_of_classes(scores: np.ndarray) -> np.ndarray:
    """One minus the gap between the two most probable classes (Scheffer et al. 2001).

    Args:
        scores: Probabilities, `(texts, classes)`.

    Returns:
        From 0 to 1, `(texts,)`.
    """
    if scores.shape[1] < 2:
        return np.zeros(len(scores))
    best = np.partition(scores.astype(np.float64), -2, axis=1)
    return 1 - (best[:, -1] - best[:, -2])


def unsure_of_labels(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How near to its threshold the score of the most doubtful label is.

    Args:
        scores: Probabilities, `(texts, labels)`.
        thresholds: The score of each label from which on it applies, `(labels,)`.

    Returns:
        From 0 to 1, where a label is at its threshold, `(texts,)`.
    """
    scores = scores.astype(np.float64)
    width = np.where(scores < thresholds, thresholds, 1 - thresholds)
    return (1 - np.abs(scores - thresholds) / np.maximum(width, 1e-9)).max(axis=1)
