"""What a task tells explanations: the decisions in an answer, and the words behind tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from lowcost_ft.data.features import Features

__all__ = ["Decision", "Explaining", "Place", "SeenRow", "encoded_places", "log_odds"]
__all__ += ["visible_place"]

Place = tuple[int, int, int]
"""The characters that a token stands for: number of the text, start and end (exclusive)."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One thing that the model says of an example.

    Attributes:
        row: The row of the features in which it is decided.
        told: The decision as the answer holds it: a label, an entity, a span.
        value: Computes, from the outputs for copies of the row, the number that words are credited
            for, `(copies,)`: the log-odds of the decision, or the predicted number.
        is_number: Whether that is the predicted number.
    """

    row: int
    told: Mapping[str, Any]
    value: Callable[[Any], torch.Tensor]
    is_number: bool = False


@dataclass(frozen=True, kw_only=True)
class SeenRow:
    """The texts that the model sees in a row, and the characters of each token.

    Attributes:
        texts: Each text by the name of its part, such as `text`.
        places: The characters of each token; None for a special token.
    """

    texts: Mapping[str, str]
    places: Sequence[Place | None]


class Explaining:
    """The part of a task that `lowcost-ft explain` uses.

    Attributes:
        can_explain: Whether its decisions can be traced to words.
        explain_flags: A dataclass of the flags that the task brings to `lowcost-ft explain`; each
            is a flag of `predict`, too.
    """

    can_explain: ClassVar[bool] = False
    explain_flags: ClassVar[type | None] = None

    def seen_rows(
        self,
        example: Any,
        features: Features,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
    ) -> list[SeenRow]:
        """The texts and tokens in each row of one example's features.

        Args:
            example: The example.
            features: What `featurize` made of it alone.
            tokenizer: The tokenizer that made them.
            max_length: Longest input in tokens, as it was then.
        """
        raise NotImplementedError

    def decisions(self, example: Any, features: Features, predictions: Any) -> list[Decision]:
        """The decisions in the model's answer to one example.

        Args:
            example: The example.
            features: What `featurize` made of it alone.
            predictions: The predictions for these features.
        """
        raise NotImplementedError


def log_odds(logits: torch.Tensor, chosen: int | torch.Tensor) -> torch.Tensor:
    """Log-odds of one class against all others under a softmax, `(...)`.

    Args:
        logits: `(..., classes)`.
        chosen: The class, or one for each of the leading places, `(...)`.
    """
    import torch

    index = torch.as_tensor(chosen, device=logits.device).expand(logits.shape[:-1]).unsqueeze(-1)
    others = logits.scatter(-1, index, -torch.inf).logsumexp(-1)
    return logits.gather(-1, index).squeeze(-1) - others


def encoded_places(
    text: str, pair: str | None, tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> list[Place | None]:
    """The characters of each token of a text or a pair, as a sequence classifier reads it."""
    encoded = tokenizer(
        text,
        pair,
        truncation=True,
        max_length=max_length,
        return_offsets_mapping=True,
        return_attention_mask=False,
    )
    texts = (text, pair or "")
    places: list[Place | None] = []
    numbers = encoded.sequence_ids(0)
    for number, (start, end) in zip(numbers, encoded["offset_mapping"], strict=True):
        if number is None:
            places.append(None)
            continue
        places.append(visible_place(texts[number], number, start, end))
    return places


def visible_place(text: str, number: int, start: int, end: int) -> Place | None:
    """The characters of a token from the first visible one on; None if none is visible.

    Args:
        text: The text of the token.
        number: Number of the text in the row.
        start: First character of the token.
        end: The character after its last one.
    """
    while start < end and text[start].isspace():
        start += 1  # Some tokens hold the blank before a word.
    return (number, start, end) if start < end else None
