"""Scores of relations: micro F1 without the negative label, and macro F1 as SemEval counts it.

Labels with a direction are written `Cause-Effect(e1,e2)` and `Cause-Effect(e2,e1)`: one relation,
which is right where its direction is right too.

Source:
    Hendrickx et al. (2010), SemEval-2010 Task 8; macro F1 equals the organisers' scorer 1.2. Micro
    F1 is counted as for TACRED: Zhang et al. (2017), Position-aware Attention.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowcost_ft.scores.bootstrap import resampled_sums, with_width
from lowcost_ft.scores.confusion import class_confusion

__all__ = ["has_directions", "macro_scores", "relation_of", "relation_sums"]
__all__ += ["relation_tally", "score_of_relation_tally", "score_relations"]

Floats = NDArray[np.float64]

_DIRECTION = re.compile(r"\s*\(e[12],\s*e[12]\)$")


def relation_of(label: str) -> str:
    """The relation that a label names, without its direction."""
    return _DIRECTION.sub("", label)


def has_directions(labels: Sequence[str]) -> bool:
    """Whether any label names a direction."""
    return any(_DIRECTION.search(label) for label in labels)


def _counts(
    predictions: Sequence[str],
    references: Sequence[str],
    negative: str | None,
    *,
    directed: bool,
    known: Sequence[str] = (),
) -> tuple[list[str], Floats]:
    """Names of the relations, and (examples, relations, 3): right, predicted, true."""
    name = relation_of if directed else str
    found = {label for label in (*predictions, *references, *known) if label != negative}
    relations = sorted({name(label) for label in found})
    column = {relation: index for index, relation in enumerate(relations)}
    counts = np.zeros((len(references), len(relations), 3))
    for row, (predicted, actual) in enumerate(zip(predictions, references, strict=True)):
        if predicted != negative:
            counts[row, column[name(predicted)], 1] = 1
            counts[row, column[name(predicted)], 0] = float(predicted == actual)
        if actual != negative:
            counts[row, column[name(actual)], 2] = 1
    return relations, counts


def _rates(counts: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of counts (..., 3); 0 where they are undefined."""
    right, predicted, true = np.moveaxis(counts, -1, 0)
    precision, recall = right / np.maximum(predicted, 1), right / np.maximum(true, 1)
    return precision, recall, 2 * right / np.maximum(predicted + true, 1)


def macro_scores(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    negative: str | None,
    directed: bool = True,
) -> tuple[float, float, float]:
    """Means of precision, recall and F1 over the relations that the references have.

    Args:
        predictions: A label an example.
        references: The true ones.
        negative: The label that means no relation, which has no part in the means.
        directed: Whether the two directions of a relation are one entry, in which a wrong
            direction is a mistake (the official way), or two.
    """
    _, counts = _counts(predictions, references, negative, directed=directed)
    sums = counts.sum(axis=0)
    occurs = sums[:, 2] > 0
    if not occurs.any():
        return 0.0, 0.0, 0.0
    precision, recall, f1 = (float(rate[occurs].mean()) for rate in _rates(sums))
    return precision, recall, f1


def score_relations(
    predictions: Sequence[str], references: Sequence[str], *, negative: str | None, seed: int = 0
) -> dict[str, Any]:
    """All scores of predicted relations.

    Args:
        predictions: A label an example.
        references: The true ones.
        negative: The label that means no relation; None: every label is one.
        seed: Seed of the bootstrap.

    Returns:
        `micro_f1`, `micro_precision`, `micro_recall`, `macro_f1`, `macro_precision`,
        `macro_recall` (all without the negative label) and `accuracy` (with it), 0 to 1;
        `micro_f1_ci95` and `macro_f1_ci95`; `per_class`: precision, recall, F1, its interval
        `f1_ci95` and support of each relation; `confusion` of the labels; `examples`.
    """
    relations, counts = _counts(predictions, references, negative, directed=True)
    sums = counts.sum(axis=0)  # (relations, 3)
    micro = [float(rate) for rate in _rates(sums.sum(axis=0))]
    macro = macro_scores(predictions, references, negative=negative)
    right = sum(p == r for p, r in zip(predictions, references, strict=True))
    scores: dict[str, Any] = {
        "micro_f1": micro[2],
        "micro_precision": micro[0],
        "micro_recall": micro[1],
        "macro_f1": macro[2],
        "macro_precision": macro[0],
        "macro_recall": macro[1],
        "accuracy": right / max(len(references), 1),
    }
    drawn = resampled_sums(counts.reshape(len(references), len(relations) * 3), seed)
    drawn = drawn.reshape(len(drawn), len(relations), 3)
    every = _rates(drawn)[2]  # (resamples, relations)
    means = _macro_f1(drawn)
    counted = counts.sum(axis=2) > 0  # (examples, relations)
    some = int(counted.any(axis=1).sum())
    scores["micro_f1_ci95"] = _interval(_rates(drawn.sum(axis=1))[2], some)
    scores["macro_f1_ci95"] = _interval(means, some)
    precision, recall, f1 = _rates(sums)
    scores["per_class"] = {
        relation: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "support": int(sums[i, 2]),
            "f1_ci95": _interval(every[:, i], int(counted[:, i].sum())),
        }
        for i, relation in enumerate(relations)
    }
    scores["confusion"] = class_confusion(predictions, references)
    return {**scores, "examples": len(references)}


def _macro_f1(sums: Floats) -> Floats:
    """Mean F1 of the relations that the references have, of sums (..., relations, 3)."""
    # A resample may lack a rare relation; the mean is then over the others, as in the score.
    occurs = sums[..., 2] > 0
    means: Floats = (_rates(sums)[2] * occurs).sum(-1) / np.maximum(occurs.sum(-1), 1)
    return means


def relation_sums(
    predictions: Sequence[str], references: Sequence[str], *, negative: str | None, macro: bool
) -> tuple[Callable[[Floats], Floats], Floats]:
    """What an F1 of relations is computed from.

    Args:
        predictions: A label an example.
        references: The true ones.
        negative: The label that means no relation.
        macro: Whether the mean over relations is wanted.

    Returns:
        From sums (..., numbers) to scores (...), and the numbers of each example.
    """
    relations, counts = _counts(predictions, references, negative, directed=True)

    def of_sums(sums: Floats) -> Floats:
        parts = sums.reshape(*sums.shape[:-1], len(relations), 3)
        return _macro_f1(parts) if macro else _rates(parts.sum(-2))[2]

    return of_sums, counts.reshape(len(references), len(relations) * 3)


def relation_tally(
    predictions: Sequence[str],
    references: Sequence[str],
    labels: Sequence[str],
    *,
    negative: str | None,
    macro: bool,
) -> Floats:
    """Numbers of each example, equally many for every model with the same labels and data.

    Args:
        predictions: A label an example.
        references: The true ones.
        labels: The labels that the model knows.
        negative: The label that means no relation.
        macro: Whether the mean over relations is the main score.

    Returns:
        `(examples, 3)`, or `(examples, 3 relations)` for the mean: see `score_of_relation_tally`.
    """
    _, counts = _counts(predictions, references, negative, directed=True, known=labels)
    return counts.reshape(len(references), -1) if macro else counts.sum(axis=1)


def score_of_relation_tally(sums: Floats) -> Floats:
    """The mean F1 of all relations in sums `(..., 3 relations)`: micro F1 where there are three."""
    return _macro_f1(sums.reshape(*sums.shape[:-1], -1, 3))


def _interval(values: Floats, examples: int) -> list[float]:
    if not values.size:
        return [0.0, 0.0]
    return with_width(np.percentile(values, [2.5, 97.5]).tolist(), examples)
