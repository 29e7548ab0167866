"""What a model answers to the versions of texts, compared between the groups of one attribute."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowcost_ft.attack.measured import predictions_of
from lowcost_ft.audit.groups import Attribute
from lowcost_ft.audit.significance import over_texts, over_words
from lowcost_ft.audit.versions import TextVersions, Version
from lowcost_ft.scores.bootstrap import interval

__all__ = ["FEWEST_TEXTS", "Compared", "compare", "comparisons_of"]

Floats = NDArray[np.float64]

FEWEST_TEXTS = 10
"""Texts below which nothing is tested: signs of fewer can be flipped in too few ways."""
_FEWEST_WORDS = 2
_SHOWN_EXAMPLES = 10


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The groups of an attribute, compared.

    Attributes:
        unit: What values are measured in.
        told: What is told of the attribute.
        examples: The texts whose values change most.
    """

    unit: str
    told: dict[str, Any]
    examples: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What is answered to some texts and their versions.

    Attributes:
        rows: Of each text, the row of each of its versions.
        own: Of each text, the row of the text itself.
        units: The number of what each text belongs to; texts of one are not independent.
        verdicts: Of each row; empty where answers are numbers.
        names: Of the values.
        values: `(rows, values)`.
        of_sums: From sums to the task's metric.
        numbers: What is summed, `(rows, numbers)`.
        answers: What a user is told, of each row.
    """

    rows: list[list[int]]
    own: list[int]
    units: NDArray[np.int64]
    verdicts: list[Any]
    names: list[str]
    values: Floats
    of_sums: Callable[[Floats], Floats]
    numbers: Floats
    answers: list[dict[str, Any]]

    def by_unit(self, numbers: Floats, texts: Sequence[int] | None = None) -> Floats:
        """Numbers of texts, summed over those that belong together."""
        units = self.units if texts is None else self.units[list(texts)]
        _, places = np.unique(units, return_inverse=True)
        sums = np.zeros((int(places.max()) + 1, numbers.shape[1]))
        np.add.at(sums, places, numbers)
        return sums

    def mean_by_unit(self, numbers: Floats) -> Floats:
        """Numbers of texts, averaged over those that belong together."""
        ones = self.by_unit(np.ones((len(numbers), 1)))
        return self.by_unit(numbers) / ones


def comparisons_of(attribute: Attribute) -> int:
    """How many groups are compared: one of two with the other, each of more with the rest."""
    return 1 if len(attribute.groups) == 2 else len(attribute.groups)


def compare(
    predictor: Any,
    attribute: Attribute,
    texts: Sequence[TextVersions],
    least: float,
    *,
    seed: int,
    comparisons: int = 1,
) -> Compared:
    """Compares the groups of an attribute.

    Args:
        predictor: The run.
        attribute: The attribute.
        texts: Texts with their versions.
        least: The smallest mean difference that matters.
        seed: Of intervals and of signs.
        comparisons: How many p-values of the audit are corrected together.
    """
    unit, answers = _answers_to(predictor, texts)
    groups = list(attribute.groups)
    means = _group_means(answers, texts, groups)  # (N, G, V)
    words = None if attribute.matched else _word_means(answers, texts, means)
    told: dict[str, Any] = {
        "words": len({(v.group, v.listed) for text in texts for v in text.versions}),
        "different_texts": len({text.without for text in texts}),
        "matched": attribute.matched,
        "flips": _flips(answers, texts, seed),
        "groups": {group: _scores(answers, texts, group, seed) for group in groups},
        "comparisons": [
            _comparison(answers, means, words, groups, number, least, seed, comparisons)
            for number in range(comparisons_of(attribute))
        ],
    }
    examples = _examples(predictor.task, answers, texts)
    told["largest_change"] = examples[0]["change"] if examples else 0.0
    return Compared(unit=unit, told=told, examples=examples[:_SHOWN_EXAMPLES])


def _answers_to(predictor: Any, texts: Sequence[TextVersions]) -> tuple[str, _Answers]:
    """Predicts texts and versions, each only once."""
    task = predictor.task
    examples: list[Any] = []
    number_of: dict[int, int] = {}

    def row(example: Any) -> int:
        if id(example) not in number_of:
            number_of[id(example)] = len(examples)
            examples.append(example)
        return number_of[id(example)]

    own = [row(text.example) for text in texts]
    rows = [[row(version.example) for version in text.versions] for text in texts]
    predictions = predictions_of(predictor, examples)
    unit, names, values = task.audited_values(examples, predictions)
    of_sums, numbers = task.score_sums(examples, predictions)
    groups: dict[Any, int] = {}
    units = [groups.setdefault(task.group_of(text.example), len(groups)) for text in texts]
    return unit, _Answers(
        rows=rows,
        own=own,
        units=np.array(units),
        verdicts=task.verdicts(examples, predictions),
        names=names,
        values=values,
        of_sums=of_sums,
        numbers=numbers,
        answers=task.answer(examples, predictions),
    )


def _places(text: TextVersions, group: str) -> list[int]:
    return [place for place, version in enumerate(text.versions) if version.group == group]


def _group_means(answers: _Answers, texts: Sequence[TextVersions], groups: Sequence[str]) -> Floats:
    """The mean values of each text's versions of each group, `(texts, groups, values)`."""
    return np.stack(
        [
            [
                answers.values[[rows[place] for place in _places(text, group)]].mean(axis=0)
                for group in groups
            ]
            for text, rows in zip(texts, answers.rows, strict=True)
        ]
    )


def _word_means(
    answers: _Answers, texts: Sequence[TextVersions], means: Floats
) -> dict[str, Floats]:
    """What each word of a group does beside the mean of its texts: group -> `(words, values)`."""
    found: dict[tuple[str, str], list[Floats]] = {}
    for text, rows, mean in zip(texts, answers.rows, means.mean(axis=1), strict=True):
        for version, row in zip(text.versions, rows, strict=True):
            word = (version.group, version.listed)
            found.setdefault(word, []).append(answers.values[row] - mean)
    of_groups: dict[str, list[Floats]] = {}
    for (group, _), changes in found.items():
        of_groups.setdefault(group, []).append(np.mean(changes, axis=0))
    return {group: np.stack(of_words) for group, of_words in of_groups.items()}


def _flips(answers: _Answers, texts: Sequence[TextVersions], seed: int) -> dict[str, Any] | None:
    """Shares of versions with another answer than their text's, by whether the group is another."""
    if not answers.verdicts:
        return None
    counts = np.zeros((len(texts), 4))  # Flips and versions: of another group, of the same one.
    for number, (text, rows) in enumerate(zip(texts, answers.rows, strict=True)):
        for version, row in zip(text.versions, rows, strict=True):
            if row == answers.own[number]:
                continue
            first = 2 * (version.group == text.group)
            flipped = answers.verdicts[row] != answers.verdicts[answers.own[number]]
            counts[number, first : first + 2] += flipped, 1
    return {
        name: _share(answers.by_unit(counts[:, first : first + 2]), seed)
        for first, name in ((0, "other_group"), (2, "same_group"))
    }


def _share(counts: Floats, seed: int) -> dict[str, Any] | None:
    if not counts[:, 1].any():
        return None
    return {
        "share": float(counts[:, 0].sum() / counts[:, 1].sum()),
        "ci95": interval(lambda sums: sums[:, 0] / np.maximum(sums[:, 1], 1), counts, seed),
        "versions": int(counts[:, 1].sum()),
    }


def _scores(
    answers: _Answers, texts: Sequence[TextVersions], group: str, seed: int
) -> dict[str, Any]:
    """The metric of texts that mention a group themselves, and of all texts made about it."""
    mentioned = [
        number
        for number, text in enumerate(texts)
        if group in text.groups and not text.has_sentence
    ]
    versions = np.stack(
        [
            answers.numbers[[rows[place] for place in _places(text, group)]].mean(axis=0)
            for text, rows in zip(texts, answers.rows, strict=True)
        ]
    )
    own = answers.numbers[[answers.own[number] for number in mentioned]]
    return {
        "mentioned": _score(answers, answers.by_unit(own, mentioned), len(mentioned), seed)
        if mentioned
        else None,
        "counterfactual": _score(answers, answers.by_unit(versions), len(texts), seed),
    }


def _score(answers: _Answers, sums: Floats, texts: int, seed: int) -> dict[str, Any]:
    score = float(answers.of_sums(sums.sum(axis=0)))
    return {"texts": texts, "score": score, "ci95": interval(answers.of_sums, sums, seed)}


def _comparison(
    answers: _Answers,
    means: Floats,
    words: Mapping[str, Floats] | None,
    groups: Sequence[str],
    number: int,
    least: float,
    seed: int,
    comparisons: int,
) -> dict[str, Any]:
    """One group beside the other, or beside all others together."""
    others = [place for place in range(len(groups)) if place != number]
    differences = answers.mean_by_unit(means[:, number] - means[:, others].mean(axis=1))
    p_texts, p_words, p_values = None, None, None
    average = differences.mean(axis=0)
    value = int(np.abs(average).argmax())
    if len(differences) >= FEWEST_TEXTS:
        p_texts = over_texts(differences, least=least, seed=seed, comparisons=comparisons)
        p_values = p_texts
        if words is not None:
            one = words[groups[number]]
            other = np.concatenate([words[groups[place]] for place in others])
            if min(len(one), len(other)) >= _FEWEST_WORDS:
                p_words = over_words(one, other, least=least)
                p_values = np.maximum(p_texts, p_words)
        value = int(np.lexsort((-np.abs(average), p_values))[0])
    return {
        "group": groups[number],
        "against": groups[others[0]] if len(others) == 1 else "the others",
        "value": answers.names[value],
        "difference": float(average[value]),
        "ci95": interval(
            lambda sums: sums[:, 0] / sums[:, 1],
            np.stack([differences[:, value], np.ones(len(differences))], axis=1),
            seed,
        ),
        "p_texts": None if p_texts is None else float(p_texts[value]),
        "p_words": None if p_words is None else float(p_words[value]),
        "p": None if p_values is None else float(p_values[value]),
    }


def _examples(task: Any, answers: _Answers, texts: Sequence[TextVersions]) -> list[dict[str, Any]]:
    """The texts by how much their values change between two groups, the largest change first."""
    found = []
    for text, rows in zip(texts, answers.rows, strict=True):
        change, value, low, high = _widest(answers, text, rows)
        if change > 0:
            found.append((change, value, (text.versions[low], rows[low]), text, (high, rows)))
    found.sort(key=lambda one: -one[0])
    return [
        {
            "source": text.example.source,
            "change": change,
            "value": answers.names[value],
            "versions": [
                _told_version(task, answers, version, row, value)
                for version, row in (low, (text.versions[high], rows[high]))
            ],
        }
        for change, value, low, text, (high, rows) in found[:_SHOWN_EXAMPLES]
    ]


def _widest(
    answers: _Answers, text: TextVersions, rows: Sequence[int]
) -> tuple[float, int, int, int]:
    """The largest change between two groups: how large, of which value, from and to which."""
    values = answers.values[rows]  # (versions, V)
    group = np.array([version.group for version in text.versions])
    best = (0.0, 0, 0, 0)
    for place in range(len(rows)):
        grown = np.where((group != group[place])[:, None], values - values[place], -np.inf)
        high, value = np.unravel_index(int(grown.argmax()), grown.shape)
        if grown[high, value] > best[0]:
            best = (float(grown[high, value]), int(value), place, int(high))
    return best


def _told_version(
    task: Any, answers: _Answers, version: Version, row: int, value: int
) -> dict[str, Any]:
    return {
        "group": version.group,
        "word": version.word,
        "texts": [spanned.text for spanned in task.spanned_texts(version.example)],
        "answer": answers.answers[row],
        "value": float(answers.values[row, value]),
    }
