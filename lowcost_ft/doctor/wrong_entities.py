"""Entities that are likely wrong, each kind of mistake apart, by a head on states of words."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from lowcost_ft.data.findings import Finding, FoundRow
from lowcost_ft.data.rows import shown
from lowcost_ft.doctor.checked_data import CheckedData
from lowcost_ft.doctor.duplicates import same_words
from lowcost_ft.doctor.entity_model import KINDS, EntityDoubt, doubt_entities
from lowcost_ft.doctor.folds import deal_folds, held_out_probabilities
from lowcost_ft.doctor.label_names import names_meant
from lowcost_ft.doctor.wrong_labels import RowScores
from lowcost_ft.scores.iob2 import Span

__all__ = ["doubts_of_rows", "judge_entities", "tag_numbers", "tag_probabilities"]

FLAGGED = {
    "wrong_type": 0.1,
    "wrong_edge": 0.1,
    "invented_entity": 0.5,
    "missing_entity": 0.5,
}
"""Score of each kind above which an entity is reported. On WNUT-17 with mistakes put in, more than
half of those above it were wrong: a head on frozen states is timid about types and edges."""

MENDED = {"wrong_type": 0.5, "wrong_edge": 0.5, "invented_entity": 0.9}
"""Score of each kind above which `--fix` changes it; missing entities are for a person to add."""

_SEVERE_SHARE = 0.1
"""Share of the entities from which on mistakes of a kind are severe."""

_WHAT = {
    "wrong_type": "whose type is likely another",
    "wrong_edge": "likely to begin or end elsewhere",
    "invented_entity": "likely to be none",
    "missing_entity": "likely to be missing",
}


def judge_entities(
    data: CheckedData,
    states: np.ndarray | None,
    *,
    seed: int,
    train: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[RowScores, list[Finding]]:
    """Judges the entities of each training row.

    Args:
        data: Data whose truth is spans.
        states: Features of the words of all training examples, `(words, features)`.
        seed: Deals the folds.
        train: Trains models in place of heads on the states: takes the fold of each example,
            returns the probabilities of the tags, `(words, tags)`.

    Returns:
        The scores of the rows, each the highest of its entities, and the findings.
    """
    split = data.train
    doubts = doubts_of_rows(data, states, seed=seed, train=train)
    found: dict[str, list[FoundRow]] = {kind: [] for kind in KINDS}
    scores = np.zeros(len(split.examples))
    suggested: list[Any] = [None] * len(split.examples)
    details: list[dict[str, float]] = []
    for number, (example, of_row) in enumerate(zip(split.examples, doubts, strict=True)):
        highest = dict.fromkeys(KINDS, 0.0)
        words = data.kind.words_of(example)
        for doubt in of_row:
            for kind, score in doubt.scores.items():
                highest[kind] = max(highest[kind], score)
            kind = max(doubt.scores, key=lambda one: doubt.scores[one] / FLAGGED[one])
            sum_of = sum(doubt.scores.values())
            right = doubt.suggested[kind]
            if sum_of > scores[number]:
                scores[number], suggested[number] = sum_of, _entity(data, example, right)
            if doubt.scores[kind] > FLAGGED[kind]:
                sure = doubt.scores[kind] > MENDED.get(kind, 1.0)
                old = None if kind == "missing_entity" else doubt.span
                found[kind].append(
                    FoundRow(
                        place=split.places[number],
                        score=float(doubt.scores[kind]),
                        suggested=_entity(data, example, right),
                        told=_told(words, kind, doubt.span, right),
                        edits=[(old, right)] if sure else [],
                    )
                )
        details.append(highest)
    total = max(1, sum(len(data.kind.spans_of(example) or ()) for example in split.examples))
    findings = []
    for kind, rows in found.items():
        if rows:
            rows.sort(key=lambda row: (-row.score, row.place))
            share = len(rows) / total
            findings.append(
                Finding(
                    kind=kind,
                    severity="severe" if share >= _SEVERE_SHARE else "moderate",
                    title=f"{len(rows):,} {'entity' if len(rows) == 1 else 'entities'} of train "
                    f"({share:.1%} of all) {_WHAT[kind]}",
                    why="a model learns the mistakes, and is scored by such labels",
                    rows=rows,
                )
            )
    return RowScores(np.minimum(scores, 1.0), suggested, details), findings


def doubts_of_rows(
    data: CheckedData,
    states: np.ndarray | None,
    *,
    seed: int,
    train: Callable[[np.ndarray], np.ndarray] | None = None,
) -> list[list[EntityDoubt]]:
    """What is thought of the entities of each training example; see `judge_entities`.

    Types whose names differ in their spelling alone are one type here.
    """
    split = data.train
    meant = names_meant(data)
    words = [len(data.kind.words_of(example)) for example in split.examples]
    first = np.concatenate([[0], np.cumsum(words)])
    probabilities = tag_probabilities(data, states, seed=seed, train=train)
    found = []
    for number, example in enumerate(split.examples):
        given = {(start, end): name for start, end, name in data.kind.spans_of(example) or ()}
        doubts = doubt_entities(
            probabilities[first[number] : first[number + 1]],
            [(*place, meant.get(name, name)) for place, name in given.items()],
            data.labels,
        )
        found.append(
            [
                replace(doubt, span=(*doubt.span[:2], given.get(doubt.span[:2], doubt.span[2])))
                for doubt in doubts
            ]
        )
    return found


def tag_probabilities(
    data: CheckedData,
    states: np.ndarray | None,
    *,
    seed: int,
    train: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Probabilities of each tag for each word, by models that have not seen its sentence.

    A second round without doubtful words, as for texts, ranked mistakes worse here: most of the
    words that it would leave out are rare entities.
    """
    split = data.train
    inputs = [same_words(data.kind.input_of(example)) for example in split.examples]
    # The first type by name, or none: a deal by the rarest would be evener still.
    types = ["".join(sorted(data.kind.classes(example))[:1]) for example in split.examples]
    folds = deal_folds(inputs, types, seed=seed)
    if train is not None:
        tags = _tags_meant(data)
        return train(folds) @ np.eye(len(tags))[tags]
    assert states is not None
    words = [len(data.kind.words_of(example)) for example in split.examples]
    return held_out_probabilities(
        states,
        tag_numbers(data),
        np.repeat(folds, words),
        num_classes=len(data.labels),
        description="judging words",
    )


def tag_numbers(data: CheckedData) -> np.ndarray:
    """The number of each word's IOB2 tag as it is meant, over all training examples, `(words,)`."""
    number = dict(zip(data.labels, _tags_meant(data), strict=True))
    numbers: list[int] = []
    for example in data.train.examples:
        tags = [0] * len(data.kind.words_of(example))
        for start, end, label in data.kind.spans_of(example) or ():
            tags[start] = number[f"B-{label}"]
            tags[start + 1 : end] = [number[f"I-{label}"]] * (end - start - 1)
        numbers += tags
    return np.array(numbers, np.int64)


def _tags_meant(data: CheckedData) -> list[int]:
    """For each tag the number of the one that is meant; see `names_meant`."""
    meant = names_meant(data)
    number = {tag: i for i, tag in enumerate(data.labels)}
    return [number.get(tag[:2] + meant.get(tag[2:], tag[2:]), i) for tag, i in number.items()]


def _entity(data: CheckedData, example: Any, span: Span | None) -> dict[str, Any] | None:
    return None if span is None else data.kind.entity_of(example, span)


def _told(words: tuple[str, ...], kind: str, span: Span, right: Span | None) -> str:
    start, end, label = span
    text = shown(" ".join(words[start:end]))
    if kind == "missing_entity":
        return f"{text} may be {label}"
    if right is None:
        return f"{text} is {label}, likely no entity"
    if kind == "wrong_type":
        return f"{text} is {label}, likely {right[2]}"
    return f"{text} is {label}, likely {shown(' '.join(words[right[0] : right[1]]))}"
