"""Texts that hold what the tokenizer takes for a special token, such as </s>.

Where a chat template gives a conversation its turns, such a token inside a text would end a turn or
begin one: who types `<|im_end|>` could speak as the system. So a decoder reads it as characters. An
encoder-decoder has no turns, and its tokenizer reads it as usual.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lowcost_ft.data.rows import counted
from lowcost_ft.tasks.writing.example import WritingExample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["SpecialTokens"]

_OPEN, _CLOSE = "\ue000text\ue001", "\ue000/text\ue001"
_MARKED = re.compile(f"{_OPEN}(.*?){_CLOSE}", re.DOTALL)


class SpecialTokens:
    """The names of a tokenizer's special tokens, where they are only characters of a text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """
        Args:
            tokenizer: The model's.
        """
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.values()
        names = {*tokenizer.all_special_tokens, *(str(token) for token in added if token.special)}
        self._names = _any_of(names)
        # A mark that somebody types is only text, too.
        self._pattern = _any_of(names | {_OPEN, _CLOSE})

    def marked(self, text: str) -> str:
        """A text whose special tokens are marked, so that `ids` reads them as characters."""
        return self._pattern.sub(lambda name: f"{_OPEN}{name[0]}{_CLOSE}", text)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of texts that may hold marks, which leave no token of their own.

        What stands before, inside and behind a mark is tokenized piece by piece.
        """
        pieces = [_MARKED.split(text) for text in texts]  # At odd places is what was marked.
        plain = self._read([piece for row in pieces for piece in row[::2]], split=False)
        marked = self._read([piece for row in pieces for piece in row[1::2]], split=True)
        sides = iter(plain), iter(marked)
        return [
            [token for place in range(len(row)) for token in next(sides[place % 2])]
            for row in pieces
        ]

    def notice(self, examples: Sequence[WritingExample], *, as_text: bool) -> str | None:
        """A message about training texts with special tokens.

        For an encoder-decoder they matter: the tag <s> of HTML is the beginning of a text for BART;
        and a target that holds the token which ends a text teaches the model to stop there. For a
        decoder they matter if the rows were laid out for a model already.

        Args:
            examples: What is learned.
            as_text: Whether they are read as characters.
        """
        rows = []
        for example in examples:
            texts = [*(content for _, content in example.turns), example.target or ""]
            if match := next((m for text in texts if (m := self._names.search(text))), None):
                rows.append((example.source, match[0]))
        if not rows:
            return None
        told = "the model reads them as such and not as characters; take them out where they are "
        told += "only text"
        if as_text:
            told = "the model reads them as characters and not as such; take them out where they "
            told += "stand for turns, which the chat template lays out"
        return (
            f"{counted(len(rows), 'training row')} with special tokens of the tokenizer in the "
            f"text, first {rows[0][1]} at {rows[0][0]}: {told}"
        )

    def _read(self, texts: list[str], *, split: bool) -> list[list[int]]:
        if not texts:
            return []
        # Else it would warn of texts longer than the model's, which are cut later.
        found = self._tokenizer(
            texts, add_special_tokens=False, split_special_tokens=split, verbose=False
        )
        return [list(ids) for ids in found["input_ids"]]


def _any_of(names: set[str]) -> re.Pattern[str]:
    """Finds any of the names, the longest where several fit; nothing where there are none."""
    longest_first = sorted(filter(None, names), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
