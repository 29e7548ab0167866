"""Texts that hold what the tokenizer takes for a special token, such as </s>."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lowcost_ft.data.rows import counted
from lowcost_ft.tasks.writing.example import WritingExample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["special_token_notice"]


def special_token_notice(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[WritingExample]
) -> str | None:
    """A message about texts with special tokens, which the model does not read as characters.

    The tag <s> of HTML is the beginning of a text for BART; and a target that holds the token which
    ends a text teaches the model to stop there.

    Args:
        tokenizer: The model's.
        examples: What is learned.
    """
    added = tokenizer.added_tokens_decoder.values()
    names = {*tokenizer.all_special_tokens, *(str(token) for token in added if token.special)}
    if not names:
        return None
    pattern = re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)))
    rows = []
    for example in examples:
        texts = [*(content for _, content in example.turns), example.target or ""]
        if match := next((match for text in texts if (match := pattern.search(text))), None):
            rows.append((example.source, match[0]))
    if not rows:
        return None
    return (
        f"{counted(len(rows), 'training row')} with special tokens of the tokenizer in the text, "
        f"first {rows[0][1]} at {rows[0][0]}: the model reads them as such and not as characters; "
        "take them out where they are only text"
    )
