"""Examples with some edits in their texts, and the words of each that could be edited."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowcost_ft.data.noise import Noise, drawn
from lowcost_ft.data.text_edits import Edit, SpannedText, edited
from lowcost_ft.data.word_spans import word_spans

__all__ = ["Editable", "Place", "editable", "meets", "with_edits"]

MOST_EDITS = 8
"""Edits that are tried at a word."""

Place = tuple[int, Edit]
"""An edit, and the number of the text that it is in."""


@dataclass(frozen=True, kw_only=True)
class Editable:
    """An example and what could be changed in it.

    Attributes:
        example: The example.
        texts: Its texts, with the spans that its truth is about.
        words: The edits of each word that has some.
        length: Words of all its texts.
    """

    example: Any
    texts: tuple[SpannedText, ...]
    words: tuple[tuple[Place, ...], ...]
    length: int


def editable(
    task: Any, example: Any, noises: Mapping[str, Noise], random: np.random.Generator
) -> Editable:
    """What several kinds of noise could change in an example.

    Args:
        task: Its task.
        example: A labelled example.
        noises: By their kind.
        random: Draws the edits of a word that has many, the same number of each kind.
    """
    texts = task.spanned_texts(example)
    words: dict[tuple[int, int], list[Place]] = {}
    most = max(1, MOST_EDITS // max(1, len(noises)))
    for noise in noises.values():
        for number, spanned in enumerate(texts):
            for edits in noise(spanned):
                at = (number, min(start for start, _, _ in edits))
                words.setdefault(_word_of(spanned, at), []).extend(
                    (number, edit) for edit in drawn(edits, most, random)
                )
    return Editable(
        example=example,
        texts=texts,
        words=tuple(tuple(words[key]) for key in sorted(words)),
        length=sum(len(word_spans(spanned.text)) for spanned in texts),
    )


def _word_of(spanned: SpannedText, at: tuple[int, int]) -> tuple[int, int]:
    """A text and the start of the word in it that an edit begins in."""
    number, place = at
    begins = [start for start, end in word_spans(spanned.text) if start <= place <= end]
    return number, begins[-1] if begins else place


def meets(place: Place, places: Sequence[Place]) -> bool:
    """Whether an edit changes a character that one of several others changes."""
    text, (start, end, _) = place
    return any(text == other and start < e[1] and e[0] < end for other, e in places)


def with_edits(task: Any, one: Editable, places: Sequence[Place]) -> Any:
    """The example after some edits, those that meet earlier ones left out.

    None where there is no edit, or the truth could not be told of what they leave.
    """
    texts = []
    for number, spanned in enumerate(one.texts):
        kept: list[Place] = []
        for place in places:
            if place[0] == number and not meets(place, kept):
                kept.append(place)
        texts.append(edited(spanned, [edit for _, edit in kept]) if kept else spanned)
    if not places or tuple(texts) == one.texts:
        return None
    return task.with_texts(one.example, texts)
