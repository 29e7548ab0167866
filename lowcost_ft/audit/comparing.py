"""What a model answers to the versions of texts, compared between the groups of one attribute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowcost_ft.audit.groups import Attribute
from lowcost_ft.audit.largest_changes import largest_changes
from lowcost_ft.audit.significance import over_texts, over_words
from lowcost_ft.audit.version_answers import Answers, Floats, answers_to, places_of
from lowcost_ft.audit.versions import TextVersions
from lowcost_ft.scores.bootstrap import interval, share_interval
from lowcost_ft.scores.sums import pearson_of

__all__ = ["FEWEST_TEXTS", "Compared", "compare", "comparisons_of"]

FEWEST_TEXTS = 10
"""With fewer texts nothing is tested: the test flips signs, and there are too few ways to."""
_FEWEST_WORDS = 2


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The groups of an attribute, compared.

    Attributes:
        unit: What values are measured in.
        told: The comparison in numbers, as the report of an audit holds it.
        examples: The texts whose values change most between two groups.
    """

    unit: str
    told: dict[str, Any]
    examples: list[dict[str, Any]]


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
        predictor: The run, loaded.
        attribute: The attribute.
        texts: Texts with their versions.
        least: The smallest mean difference that matters.
        seed: Seed of the bootstrap intervals and of the signs that the test flips.
        comparisons: How many p-values of the audit are corrected together.
    """
    unit, answers = answers_to(predictor, texts)
    groups = list(attribute.groups)
    means = _group_means(answers, texts, groups)  # (N, G, V)
    words = None if attribute.matched else _word_means(answers, texts, means)
    told: dict[str, Any] = {
        "words": len({(v.group, v.listed) for text in texts for v in text.versions}),
        "units": len(set(answers.units.tolist())),
        "different_texts": len({text.without for text in texts}),
        "matched": attribute.matched,
        "flips": _flips(answers, texts, seed),
        "groups": {group: _scores(answers, texts, group, seed) for group in groups},
        "comparisons": [
            _comparison(answers, means, words, groups, number, least, seed, comparisons)
            for number in range(comparisons_of(attribute))
        ],
    }
    examples = largest_changes(predictor.task, answers, texts)
    told["largest_change"] = examples[0]["change"] if examples else 0.0
    return Compared(unit=unit, told=told, examples=examples)


def _group_means(answers: Answers, texts: Sequence[TextVersions], groups: Sequence[str]) -> Floats:
    """The mean values of each text's versions of each group, `(texts, groups, values)`."""
    return np.stack(
        [
            [
                answers.values[[rows[place] for place in places_of(text, group)]].mean(axis=0)
                for group in groups
            ]
            for text, rows in zip(texts, answers.rows, strict=True)
        ]
    )


def _word_means(
    answers: Answers, texts: Sequence[TextVersions], means: Floats
) -> dict[str, Floats]:
    """How far each word moves values from the mean of its texts: group -> `(words, values)`."""
    found: dict[tuple[str, str], list[Floats]] = {}
    for text, rows, mean in zip(texts, answers.rows, means.mean(axis=1), strict=True):
        for version, row in zip(text.versions, rows, strict=True):
            word = (version.group, version.listed)
            found.setdefault(word, []).append(answers.values[row] - mean)
    of_groups: dict[str, list[Floats]] = {}
    for (group, _), changes in found.items():
        of_groups.setdefault(group, []).append(np.mean(changes, axis=0))
    return {group: np.stack(of_words) for group, of_words in of_groups.items()}


def _flips(answers: Answers, texts: Sequence[TextVersions], seed: int) -> dict[str, Any] | None:
    """Shares of versions whose answer is not their text's, in another group and in the same one."""
    if not answers.verdicts:
        return None
    counts = np.zeros((len(texts), 4))  # Flips, versions: another group, the same one.
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
        "ci95": share_interval(lambda sums: sums[:, 0] / np.maximum(sums[:, 1], 1), counts, seed),
        "versions": int(counts[:, 1].sum()),
    }


def _scores(
    answers: Answers, texts: Sequence[TextVersions], group: str, seed: int
) -> dict[str, Any]:
    """The metric on texts that mention a group themselves, and on all versions about it."""
    mentioned = [
        number
        for number, text in enumerate(texts)
        if group in text.groups and not text.has_sentence
    ]
    versions = np.stack(
        [
            answers.numbers[[rows[place] for place in places_of(text, group)]].mean(axis=0)
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


def _score(answers: Answers, sums: Floats, texts: int, seed: int) -> dict[str, Any]:
    score = float(answers.of_sums(sums.sum(axis=0)))
    # A correlation is no share.
    ends = interval if answers.of_sums is pearson_of else share_interval
    return {"texts": texts, "score": score, "ci95": ends(answers.of_sums, sums, seed)}


def _comparison(
    answers: Answers,
    means: Floats,
    words: Mapping[str, Floats] | None,
    groups: Sequence[str],
    number: int,
    least: float,
    seed: int,
    comparisons: int,
) -> dict[str, Any]:
    """Compares one group with the other, or with the mean of all others."""
    others = [place for place in range(len(groups)) if place != number]
    differences = answers.mean_by_unit(means[:, number] - means[:, others].mean(axis=1))
    p_texts, p_words, p_values = None, None, None
    average = differences.mean(axis=0)
    # Of two classes one gains what the other loses: rounding must not choose the one that is told.
    size = np.abs(average).round(6)
    value = int(size.argmax())
    if len(differences) >= FEWEST_TEXTS:
        p_texts = over_texts(differences, least=least, seed=seed, comparisons=comparisons)
        p_values = p_texts
        if words is not None:
            one = words[groups[number]]
            other = np.concatenate([words[groups[place]] for place in others])
            if min(len(one), len(other)) >= _FEWEST_WORDS:
                p_words = over_words(one, other, least=least)
                p_values = np.maximum(p_texts, p_words)
        value = int(np.lexsort((-size, p_values))[0])
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
