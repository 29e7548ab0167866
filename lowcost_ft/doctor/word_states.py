"""What the head sees of each word: frozen states of two layers, and how the word is written."""

from collections.abc import Sequence

import numpy as np

from lowcost_ft.frozen.embedding import Embedder

__all__ = ["word_states"]

_MARKS = 12
_WEIGHT = 0.3
"""Of what is told by the writing, beside states of length 1."""


def word_states(embedder: Embedder, sentences: Sequence[Sequence[str]]) -> np.ndarray:
    """Describes each word of each sentence.

    Layers a third and two thirds of the way up say most of single words. How a word and its
    neighbours are written is added, since many models do not see capital letters.

    Args:
        embedder: A model that embeds words.
        sentences: The words of each.

    Returns:
        `(words of all sentences, features)`, float32.
    """
    layers = embedder.backbone.config.num_hidden_layers
    chosen = sorted({max(1, round(layers / 3)), max(1, round(2 * layers / 3))})
    states, _ = embedder.words(sentences, chosen)
    parts = np.split(states, len(chosen), axis=1)
    scaled = [
        part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-9) for part in parts
    ]
    writing = [_writing(words) for words in sentences if len(words)]
    return np.hstack([*scaled, _WEIGHT * np.vstack(writing)]).astype(np.float32)


def _writing(words: Sequence[str]) -> np.ndarray:
    """Marks of each word, of the words before and after it, and of its place, `(words, 39)`."""
    own = np.array([_marks(word) for word in words], np.float32)
    none = np.zeros((1, _MARKS), np.float32)
    place = np.zeros((len(words), 3), np.float32)
    place[0, 0] = place[-1, 1] = 1
    place[:, 2] = own[:, 0].mean()
    return np.hstack([own, np.vstack([none, own[:-1]]), np.vstack([own[1:], none]), place])


def _marks(word: str) -> list[bool]:
    letters = [c for c in word if c.isalpha()]
    capitals = len(letters) > 1 and all(c.isupper() for c in letters)
    return [
        word[:1].isupper(),
        capitals,
        any(c.isdigit() for c in word),
        word.isalpha(),
        not any(c.isalnum() for c in word),
        word[:1] == "@",
        word[:1] == "#",
        word.startswith("http") or "www" in word,
        any(c.isupper() for c in word[1:]) and not capitals,
        len(word) <= 2,
        len(word) >= 8,
        word.islower(),
    ]
