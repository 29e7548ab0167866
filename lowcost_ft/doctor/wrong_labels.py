"""Rows whose class is likely wrong, by a head on the frozen states of a pretrained model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lowcost_ft.data.findings import Finding, FoundRow
from lowcost_ft.data.rows import counted, shown
from lowcost_ft.doctor.checked_data import CheckedData
from lowcost_ft.doctor.duplicates import same_words
from lowcost_ft.doctor.label_names import names_meant
from lowcost_ft.doctor.noise_model import doubt_classes

__all__ = ["RowScores", "judge_classes"]

FLAGGED = 0.5
"""Score above which a row is reported, since it is more likely wrong than right, and probability
above which `--fix` gives it the suggested class."""

_HOPELESS_SHARE = 0.5
"""Share of doubted rows above which it is the judgement that is wrong, not the labels."""

_SEVERE_SHARE = 0.05
"""Share of the rows from which on wrong labels are severe."""


@dataclass(frozen=True)
class RowScores:
    """The score of each training row that could be read.

    Attributes:
        scores: How likely its labels are wrong, `(examples,)`.
        suggested: What would be right, as JSON can hold it; None where nothing is suggested.
        details: What the score is made of, by name; empty where it is one number.
    """

    scores: np.ndarray
    suggested: list[Any]
    details: list[dict[str, float]]


def judge_classes(
    data: CheckedData,
    states: np.ndarray,
    *,
    seed: int,
    train: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> tuple[RowScores, list[Finding]]:
    """Judges the one class of each training row.

    Names that differ in their spelling alone are one class here: which is right is told apart.

    Args:
        data: Data with one class a row.
        states: Embeddings of the training examples, `(examples, hidden)`.
        seed: Deals the folds.
        train: Trains models in place of the second head; see `doubt_classes`. Its probabilities are
            of all names.
    """
    split = data.train
    meant = names_meant(data)
    labels = [name for name in data.labels if name not in meant]
    number = {name: labels.index(meant.get(name, name)) for name in data.labels}
    names = [data.class_of(example) for example in split.examples]
    classes = np.array([number[name] for name in names], np.int64)
    of_names = np.eye(len(labels))[[number[name] for name in data.labels]]
    inputs: dict[Any, int] = {}
    groups = np.array(
        [
            inputs.setdefault(same_words(data.kind.input_of(example)), len(inputs))
            for example in split.examples
        ],
        np.int64,
    )
    doubts = doubt_classes(
        states,
        classes,
        groups,
        num_classes=len(labels),
        seed=seed,
        train=train and (lambda folds, trusted: train(folds, trusted) @ of_names),
    )
    suggested = [
        labels[new] if judged else None
        for new, judged in zip(doubts.suggested, doubts.judged, strict=True)
    ]
    scores = RowScores(doubts.scores, suggested, [{} for _ in names])
    rows = []
    for i in np.argsort(-doubts.scores, kind="stable"):
        if doubts.scores[i] <= FLAGGED or not doubts.judged[i]:
            continue
        new = labels[doubts.suggested[i]]
        change = None
        if doubts.certainty[i] > FLAGGED:
            change = data.kind.with_class(
                split.rows, split.places[i], data.reading, old=names[i], new=new
            )
        rows.append(
            FoundRow(
                place=split.places[i],
                score=float(doubts.scores[i]),
                suggested=new,
                told=f"{shown(names[i])}, likely {shown(new)}",
                change=change,
            )
        )
    if not rows:
        return scores, []
    share = len(rows) / len(names)
    if share > _HOPELESS_SHARE:
        data.notices.append(
            f"labels are not judged: the model's states do not tell the classes apart (it would "
            f"doubt {len(rows):,} of {len(names):,} rows); another --model-id may"
        )
        return replace(scores, scores=np.full(len(names), 0.5)), []
    return scores, [
        Finding(
            kind="wrong_label",
            severity="severe" if share >= _SEVERE_SHARE else "moderate",
            title=f"{counted(len(rows), 'row')} of train ({share:.1%}) whose label is likely wrong",
            why="a model learns the mistakes; the score is that of labels as wrong as these",
            rows=rows,
        )
    ]
