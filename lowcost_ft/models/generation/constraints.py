"""What a model may not write next, and how its logits become the chances of a drawn token."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation import logits_process as processing

from lowcost_ft.config.generation import GenerationSettings

__all__ = ["constraints", "draw", "drawing"]


def constraints(
    model: Any, settings: GenerationSettings, *, length: int, device: torch.device
) -> LogitsProcessorList:
    """What must hold of every text, by transformers' own processors.

    What a model's published generation settings force and forbid holds, too: token codes that it
    must begin or end with, or never write. What is about the search itself is said by `settings`
    alone.

    Args:
        model: A model of transformers that writes.
        settings: How to write.
        length: Tokens that the decoder reads before it writes, padding included.
        device: Where the logits are.
    """
    published = getattr(model, "generation_config", None) or GenerationConfig()
    found = LogitsProcessorList()
    if settings.no_repeat_ngram_size:
        found.append(processing.NoRepeatNGramLogitsProcessor(settings.no_repeat_ngram_size))
    if published.bad_words_ids:
        ends = torch.tensor(settings.end_token_ids, device=device)
        found.append(processing.NoBadWordsLogitsProcessor(published.bad_words_ids, ends))
    if config_is_encoder_decoder(model):
        first = settings.first_token_id
        first = published.forced_bos_token_id if first is None else first
        if first is not None:
            found.append(processing.ForcedBOSTokenLogitsProcessor(first))
    elif settings.first_token_id is not None:
        raise ValueError("a decoder has no first token to be forced: put it into the prompt")
    if published.forced_eos_token_id is not None:
        found.append(
            processing.ForcedEOSTokenLogitsProcessor(
                length + settings.max_new_tokens,
                published.forced_eos_token_id,
                device=str(device),
            )
        )
    if published.suppress_tokens:
        found.append(
            processing.SuppressTokensLogitsProcessor(published.suppress_tokens, device=str(device))
        )
    return found


def config_is_encoder_decoder(model: Any) -> bool:
    """Whether a model reads with an encoder and writes with a decoder."""
    return bool(model.config.is_encoder_decoder)


def drawing(settings: GenerationSettings) -> LogitsProcessorList:
    """What turns logits into those that a token is drawn by."""
    found = LogitsProcessorList()
    if settings.temperature != 1.0:
        found.append(processing.TemperatureLogitsWarper(settings.temperature))
    if settings.sample_top_k is not None:
        found.append(processing.TopKLogitsWarper(settings.sample_top_k))
    if settings.sample_top_p is not None:
        found.append(processing.TopPLogitsWarper(settings.sample_top_p))
    return found


def draw(logits: torch.Tensor, chances: Sequence[float]) -> torch.Tensor:
    """One token a row, drawn by the inverse of the distribution function.

    Args:
        logits: `(rows, vocabulary)`.
        chances: A number from 0 to 1 for each row, on which alone its draw depends.
    """
    shares = logits.double().softmax(-1).cumsum(-1)
    wanted = torch.tensor(chances, dtype=torch.float64, device=logits.device).unsqueeze(1)
    # The sum of all shares is 1 up to rounding.
    places = torch.searchsorted(shares, wanted * shares[:, -1:], right=True).squeeze(1)
    possible = torch.isfinite(logits)
    last = logits.shape[1] - 1 - possible.flip(1).int().argmax(1)
    return torch.minimum(places, last)
