"""Words of a file, cut by the rule that texts are cut by, and joined again.

A file with one word a line has the words that its corpus cut: `5,453.87`, `U.S.`, `AT&T`. A text is
cut by `split_words`, into `5`, `,`, `453` and so on. A model that learned from whole words would
meet such pieces for the first time when it is used on a text. So the model sees pieces only, in
training and in use, and what it says of a word's pieces is joined again. The rule never looks past
white space: words, and the same words as a text, joined by blanks, are the same pieces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from lowcost_ft.tasks.ner.word_splitting import WORD_SPLITTING, split_words

__all__ = ["FileWords", "Pieces", "cut_words", "is_learned", "join_tags", "joined_words"]
__all__ += ["spread_tags"]

FileWords = Literal["split", "as_given"]
"""Whether the words of a file are cut into pieces, or are what the model sees. run.json has it."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """What the model sees of a sentence as words.

    Attributes:
        texts: The pieces, in their order.
        words: The number of the word that each piece is of, ascending. A word of nothing but white
            space has no piece.
    """

    texts: tuple[str, ...]
    words: tuple[int, ...]


def cut_words(words: Sequence[str], rule: str = WORD_SPLITTING) -> Pieces:
    """Cuts each word by `split_words` and a rule of its."""
    cut = [(piece, number) for number, word in enumerate(words) for piece in _cut(word, rule)]
    return Pieces(tuple(piece for piece, _ in cut), tuple(number for _, number in cut))


@lru_cache(maxsize=100_000)  # Words repeat, and each epoch's validation asks again.
def _cut(word: str, rule: str) -> tuple[str, ...]:
    return tuple(word[start:end] for start, end in split_words(word, rule))


def spread_tags(tags: Sequence[str], words: Sequence[int]) -> list[str]:
    """Tags of pieces: a word's first piece has its tag, the others continue the entity.

    Args:
        tags: IOB2 tags, one a word.
        words: The word of each piece, ascending.
    """
    return [
        tags[word] if word != before or tags[word] == "O" else f"I-{tags[word][2:]}"
        for before, word in pairwise((-1, *words))
    ]


def is_learned(tags: Sequence[str], words: Sequence[int]) -> list[bool]:
    """Which pieces have a part in the loss: the first of each word, and all of an entity's words.

    The other pieces of words outside of entities (the dots of `....`) are `O`, too. A model that
    learns these as well found fewer entities after the same epochs (WNUT-17, validation split).

    Args:
        tags: IOB2 tags, one a word.
        words: The word of each piece, ascending.
    """
    return [word != before or tags[word] != "O" for before, word in pairwise((-1, *words))]


def join_tags(tags: Sequence[str], words: Sequence[int], num_words: int) -> list[str]:
    """Tags of words: each has that of its first piece.

    Args:
        tags: One a piece.
        words: The word of each piece, ascending.
        num_words: Words of the sentence.
    """
    joined = ["O"] * num_words
    for tag, word in zip(reversed(tags), reversed(words), strict=True):
        joined[word] = tag
    return joined


def joined_words(words: Sequence[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Words as one text, joined by blanks, and the characters of each."""
    offsets, start = [], 0
    for word in words:
        offsets.append((start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), tuple(offsets)
