"""Which entities of a text could be related: all ordered pairs that stand near enough together."""

import re
from bisect import bisect_right
from collections.abc import Sequence

from lowcost_ft.config.reading import PairWindow
from lowcost_ft.tasks.relation.examples import Mention, Pair

__all__ = ["DEFAULT_WINDOW", "candidate_pairs", "sentence_starts"]

DEFAULT_WINDOW: PairWindow = "sentence"

_SENTENCE_END = re.compile(
    r"(?:[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[”’」』）]*|\n\s*\n|\n(?=\s*[-*•]\s))"  # noqa: RUF001
)
"""Ends of sentences: punctuation before white space, that of Chinese and Japanese anywhere, blank
lines, and lines before an item of a list."""

_BEFORE_NAMES = ("mr", "mrs", "ms", "dr", "prof", "rev", "hon", "hr", "fr", "mme", "mlle")
_BEFORE_NUMBERS = ("no", "nr", "art", "fig", "p", "pp")
"""Words with a full stop that a name, or a number, follows in the same sentence."""


def sentence_starts(text: str, entities: Sequence[Mention] = ()) -> list[int]:
    """Where the sentences of a text start, in characters.

    A full stop within an entity ("J. Smith", "Acme Inc.") ends no sentence, nor does one after a
    single letter, after a title ("Dr. Berg"), after "No." and the like with a number, or before a
    small letter.

    Args:
        text: The text.
        entities: Its entities.
    """
    starts = [0]
    for end in _SENTENCE_END.finditer(text):
        at = end.start()
        if any(entity.start <= at < entity.end for entity in entities):
            continue
        if text[at] == "." and len(end.group()) == 1:
            following = text[end.end() :].lstrip()[:1]
            found = re.search(r"\w+$", text[max(at - 20, 0) : at])
            word = found.group().lower() if found else ""
            initial = len(word) == 1 and word.isalpha()
            short = word in _BEFORE_NAMES or (word in _BEFORE_NUMBERS and following.isdigit())
            if following.islower() or initial or short:
                continue
        starts.append(end.end())
    return starts


def candidate_pairs(text: str, entities: Sequence[Mention], window: PairWindow) -> list[Pair]:
    """All ordered pairs of different entities that one relation could join.

    Args:
        text: The text.
        entities: Its entities.
        window: "sentence": both in one sentence; "text": anywhere in it; a number: with at most
            so many characters between them.
    """
    starts = sentence_starts(text, entities) if window == "sentence" else []

    def near(one: Mention, other: Mention) -> bool:
        if (one.start, one.end) == (other.start, other.end):
            return False  # The same words with two types.
        if window == "text":
            return True
        if window == "sentence":
            return bisect_right(starts, one.start) == bisect_right(starts, other.start)
        gap = max(one.start, other.start) - min(one.end, other.end)
        return gap <= int(window)

    return [
        (head, tail)
        for head in entities
        for tail in entities
        if head is not tail and near(head, tail)
    ]
