"""Scores of answers that are spans of a text: exact match and F1, as SQuAD counts them.

The functions that score one answer do what the official evaluation scripts of SQuAD 1.1 and 2.0
do; `tests/test_answer_scores.py` compares them with figures of that script.

Source:
    Rajpurkar et al. (2016), SQuAD: 100,000+ Questions for Machine Comprehension of Text; Rajpurkar,
    Jia and Liang (2018), Know What You Don't Know: Unanswerable Questions for SQuAD.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowcost_ft.scores.bootstrap import share_interval

__all__ = ["best_threshold", "character_f1", "exact_match", "has_blanks", "normalized"]
__all__ += ["score_answers", "token_f1"]

Floats = NDArray[np.float64]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)
_BLANKS_IN_TEXT = 0.04
"""Share of blanks from which on a text has words between blanks. English has about 0.17; a Chinese
text with a few English names stays below."""


def normalized(text: str) -> str:
    """An answer in small letters, without punctuation, articles and repeated blanks."""
    kept = "".join(character for character in text.lower() if character not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def exact_match(answer: str, truths: Sequence[str]) -> float:
    """1 where the answer is one of the true ones, both normalized; see `token_f1`."""
    return max(float(normalized(answer) == truth) for truth in _truths(truths))


def token_f1(answer: str, truths: Sequence[str]) -> float:
    """The F1 of the words that answer and truth share: that of the best of the true answers.

    Args:
        answer: An answer; an empty text says that there is none.
        truths: The true answers; none for a question that has no answer.
    """
    return max(_overlap_f1(normalized(answer).split(), t.split()) for t in _truths(truths))


def character_f1(answer: str, truths: Sequence[str]) -> float:
    """The F1 of the characters that answer and truth share, for texts without blanks.

    Small letters; punctuation of all scripts and blanks do not count, and there are no articles.
    """
    found = _characters(answer)
    return max(_overlap_f1(found, _characters(truth)) for truth in list(truths) or [""])


def has_blanks(text: str) -> bool:
    """Whether the words of a text stand between blanks, as in English and not as in Chinese."""
    return sum(map(str.isspace, text)) >= _BLANKS_IN_TEXT * len(text)


def _truths(truths: Sequence[str]) -> list[str]:
    """The true answers, normalized; the script drops those of which nothing is left."""
    return [n for truth in truths if (n := normalized(truth))] or [""]


def _characters(text: str) -> list[str]:
    return [
        character
        for character in text.lower()
        if not character.isspace() and not unicodedata.category(character).startswith("P")
    ]


def _overlap_f1(found: Sequence[str], true: Sequence[str]) -> float:
    if not found or not true:
        return float(list(found) == list(true))
    shared = (Counter(found) & Counter(true)).total()
    if shared == 0:
        return 0.0
    precision, recall = shared / len(found), shared / len(true)
    return 2 * precision * recall / (precision + recall)


def score_answers(
    answers: Sequence[str],
    truths: Sequence[Sequence[str]],
    *,
    groups: Sequence[Hashable],
    characters: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores of a split.

    Args:
        answers: An answer for each question; an empty one says that there is none.
        truths: The true answers of each; none where the question has no answer.
        groups: What each question belongs to, such as its article. Questions about one article
            are not independent, so the intervals draw whole groups.
        characters: Whether the texts have no blanks, so that `character_f1` is wanted too.
        seed: Seed of the bootstrap.

    Returns:
        `exact_match`, `answer_f1` and, with `characters`, `character_f1`, from 0 to 1, each with
        its interval (`..._ci95`); `examples`; `groups`, how many were drawn from. Where some
        questions have no answer also the scores of both kinds: `answerable_exact_match`,
        `answerable_f1`, with `characters` `answerable_character_f1`, and `unanswerable_accuracy`,
        the share of the others that got none.

    Raises:
        ValueError: The numbers of answers, truths and groups differ.
    """
    scorers: dict[str, Callable[[str, Sequence[str]], float]] = {
        "exact_match": exact_match,
        "answer_f1": token_f1,
    }
    if characters:
        scorers["character_f1"] = character_f1
    counted = {
        name: np.array([score(a, t) for a, t in zip(answers, truths, strict=True)], float)
        for name, score in scorers.items()
    }
    if len(groups) != len(answers):
        raise ValueError(f"{len(answers)} answers for {len(groups)} groups")
    scores: dict[str, Any] = {}
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    members = np.array([numbers[group] for group in groups], np.int64)
    for name, values in counted.items():
        scores[name] = _mean(values)
        scores[f"{name}_ci95"] = _interval(values, members, len(numbers), seed)
    has_answer = np.array([bool(truth) for truth in truths], bool)
    if not has_answer.all():
        scores["answerable_exact_match"] = _mean(counted["exact_match"][has_answer])
        scores["answerable_f1"] = _mean(counted["answer_f1"][has_answer])
        if characters:
            scores["answerable_character_f1"] = _mean(counted["character_f1"][has_answer])
        scores["unanswerable_accuracy"] = _mean(counted["exact_match"][~has_answer])
        scores["unanswerable"] = int((~has_answer).sum())
    return {**scores, "groups": len(numbers), "examples": len(answers)}


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def _interval(values: Floats, members: NDArray[np.int64], groups: int, seed: int) -> list[float]:
    """Of a mean over questions, whose groups are drawn as they are.

    Source:
        Davison and Hinkley (1997), Bootstrap Methods and their Application, section 3.8.
    """
    if groups < 2:  # Of one article alone the questions are all that there is to draw.
        members, groups = np.arange(len(values)), len(values)
    sums = np.bincount(members, weights=values, minlength=groups)
    counts = np.bincount(members, minlength=groups).astype(float)
    return share_interval(
        lambda drawn: drawn[..., 0] / np.maximum(drawn[..., 1], 1),
        np.stack([sums, counts], axis=1),
        seed,
    )


def best_threshold(null_advantage: Floats, with_answer: Floats, without_answer: Floats) -> float:
    """From which advantage of the null answer on a question is best left without an answer.

    Args:
        null_advantage: For each question, the score of the null answer minus that of the best one.
        with_answer: The question's score if the best answer is given.
        without_answer: Its score if none is given.

    Returns:
        The threshold that gives the highest mean score: no answer is given where the advantage is
        above it. It lies in the middle between two questions; of equally good ones the widest gap
        is taken, so that the choice does not hang on rounding.

    Source:
        `find_best_thresh` of the SQuAD 2.0 evaluation script, whose threshold is a question's own.
    """
    order = np.argsort(null_advantage, kind="stable")
    advantage = null_advantage[order]
    # Cut c: the first c questions get their answer, the others none.
    gains = np.concatenate([[0.0], np.cumsum((with_answer - without_answer)[order])])
    edges = np.concatenate([[advantage[0] - 1.0], advantage, [advantage[-1] + 1.0]])
    gaps = np.diff(edges)
    possible = gaps > 0
    best = gains[possible].max()
    cuts = np.flatnonzero(possible & (gains >= best - 1e-9))
    cut = int(cuts[np.argmax(gaps[cuts])])
    return float((edges[cut] + edges[cut + 1]) / 2)
