"""The texts whose answers change most between the versions of two groups."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowcost_ft.audit.version_answers import Answers
from lowcost_ft.audit.versions import TextVersions, Version

__all__ = ["largest_changes"]

_SHOWN_EXAMPLES = 10


def largest_changes(
    task: Any, answers: Answers, texts: Sequence[TextVersions]
) -> list[dict[str, Any]]:
    """The ten texts whose values change most between two groups, the largest change first.

    Args:
        task: The task of the run.
        answers: What the model answers to the texts and their versions.
        texts: Texts with their versions.
    """
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
    answers: Answers, text: TextVersions, rows: Sequence[int]
) -> tuple[float, int, int, int]:
    """The largest change between two groups: its size, the value, and the two versions' places."""
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
    task: Any, answers: Answers, version: Version, row: int, value: int
) -> dict[str, Any]:
    return {
        "group": version.group,
        "word": version.word,
        "texts": [spanned.text for spanned in task.spanned_texts(version.example)],
        "answer": answers.answers[row],
        "value": float(answers.values[row, value]),
    }
