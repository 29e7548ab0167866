"""Examples with some edits in their texts, and the words of each that could be edited."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowcost_ft.data.noise import Noise, drawn
from lowcost_ft.data.text_edits import Edit, SpannedText, edited
from lowcost_ft.data.word_spans import word_spans

__all__ = ["Editable", "Place", "Places", "editable", "with_edits"]

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
    spans = [word_spans(spanned.text) for spanned in texts]
    words: dict[tuple[int, int], list[Place]] = {}
    most = max(1, MOST_EDITS // max(1, len(noises)))
    for noise in noises.values():
        for number, spanned in enumerate(texts):
            for edits in noise(spanned):
                begin = _word_begin(spans[number], min(start for start, _, _ in edits))
                words.setdefault((number, begin), []).extend(
                    (number, edit) for edit in drawn(edits, most, random)
                )
    return Editable(
        example=example,
        texts=texts,
        words=tuple(tuple(words[key]) for key in sorted(words)),
        length=sum(map(len, spans)),
    )


def _word_begin(spans: Sequence[tuple[int, int]], place: int) -> int:
    """Where the word begins that an edit begins in; where the edit does, if that is in none."""
    word = bisect_right(spans, place, key=lambda span: span[0]) - 1
    return spans[word][0] if word >= 0 and place <= spans[word][1] else place


class Places:
    """Edits of the texts of an example, of which no two change the same character.

    Args:
        places: Some edits; those that meet earlier ones are left out.
    """

    def __init__(self, places: Iterable[Place] = ()) -> None:
        self._of_texts: dict[int, list[Edit]] = {}
        for place in places:
            self.add(place)

    def meets(self, place: Place) -> bool:
        """Whether an edit changes a character that one of these changes."""
        number, (start, end, _) = place
        edits = self._of_texts.get(number, [])
        at = bisect_right(edits, start, key=lambda edit: edit[1])  # The first that ends later.
        return at < len(edits) and edits[at][0] < end

    def add(self, place: Place) -> None:
        """Adds an edit unless it meets one of these."""
        if not self.meets(place):
            insort(self._of_texts.setdefault(place[0], []), place[1])

    def of_text(self, number: int) -> Sequence[Edit]:
        """The edits of a text, in the order of the text."""
        return self._of_texts.get(number, ())


def with_edits(task: Any, one: Editable, places: Iterable[Place]) -> Any:
    """The example after some edits, those that meet earlier ones left out.

    None where there is no edit, or the truth could not be told of what they leave.
    """
    kept = Places(places)
    texts = tuple(
        edited(spanned, edits) if (edits := kept.of_text(number)) else spanned
        for number, spanned in enumerate(one.texts)
    )
    return None if texts == one.texts else task.with_texts(one.example, texts)
