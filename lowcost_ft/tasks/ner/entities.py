"""Tags of words as entities of a text: legal IOB2, and where each entity stands."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lowcost_ft.tasks.ner.examples import NerExample
from lowcost_ft.tasks.ner.tagging import tags_to_spans
from lowcost_ft.tasks.ner.word_pieces import Pieces, joined_words

__all__ = ["entities_answer", "scored_spans", "without_loose_ends"]


def scored_spans(
    pieces: Pieces, tags: Sequence[str], scores: np.ndarray
) -> list[tuple[int, int, str, float]]:
    """The entities of a sentence: first word, word after the last, type, raw score.

    Args:
        pieces: What the model saw of it.
        tags: The predicted tag of each word.
        scores: The probability of the tag of each piece, `(pieces,)`.
    """
    found = []
    for start, end, label in tags_to_spans(tags):
        first, last = (bisect_left(pieces.words, word) for word in (start, end))
        found.append((start, end, label, float(scores[first:last].mean())))
    return found


def entities_answer(
    example: NerExample,
    spans: Sequence[tuple[int, int, str, float]],
    told: Callable[[float], float],
) -> dict[str, Any]:
    """`{"text": ..., "entities": [...]}` of an example.

    Args:
        example: The sentence.
        spans: What `scored_spans` found in it.
        told: A score as a user sees it.
    """
    text, offsets = example.text, example.offsets
    if text is None or offsets is None:
        text, offsets = joined_words(example.words)
    entities = []
    for start, end, label, score in spans:
        begin, stop = offsets[start][0], offsets[end - 1][1]
        entities.append(
            {
                "start": begin,
                "end": stop,
                "label": label,
                "text": text[begin:stop],
                "score": told(score),
            }
        )
    return {"text": text, "entities": entities}


def without_loose_ends(tags: Sequence[str]) -> list[str]:
    """The tags with O in place of each I- that continues nothing."""
    legal: list[str] = []
    for tag in tags:
        continues = bool(legal) and legal[-1] != "O" and legal[-1][2:] == tag[2:]
        legal.append(tag if tag[0] != "I" or continues else "O")
    return legal
