"""One text, token by token as it is written, and the characters that they make."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from lowcost_ft.config.generation import GenerationSettings
from lowcost_ft.models.generation.constraints import constraints
from lowcost_ft.models.generation.decoding import Decoding
from lowcost_ft.models.generation.greedy import Chooser
from lowcost_ft.models.generation.writing import generate, start_token

__all__ = ["StreamedText", "stream"]

_HALF_CHARACTER = "\ufffd"
"""What a tokenizer makes of bytes that are not yet a whole character."""


def stream(
    model: Any,
    prompt: np.ndarray,
    settings: GenerationSettings,
    *,
    pad_token_id: int,
    number: int = 0,
    precision: Any = None,
) -> Iterator[int]:
    """The tokens of one text, without the one that ends it; the same that `generate` writes.

    Beams are only known in the end, so all of their tokens come at once.

    Args:
        model: A model that writes, in evaluation mode.
        prompt: What it goes on from.
        settings: How to write.
        pad_token_id: As for `generate`.
        number: The number of the text, which draws depend on.
        precision: Makes the context in which the model runs, such as `Accelerator.autocast`; it is
            left between two tokens.
    """
    precision = nullcontext if precision is None else precision

    def running() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return precision(), torch.inference_mode()

    if settings.num_beams > 1:
        outer, inner = running()
        with outer, inner:
            written = generate(
                model, [prompt], settings, pad_token_id=pad_token_id, numbers=[number]
            )
        yield from written.tokens[0]
        return
    device = next(model.parameters()).device
    outer, inner = running()
    with outer, inner:
        decoding = Decoding(
            model,
            [prompt],
            pad_token_id=pad_token_id,
            start_token_id=start_token(model, settings),
            device=device,
        )
        processors = constraints(model, settings, length=decoding.sequences.shape[1], device=device)
        chooser = Chooser(processors, settings, [number])
    for step in range(settings.max_new_tokens):
        with torch.inference_mode():
            token, _ = chooser.choose(decoding, [0], step)
        if int(token) in settings.end_token_ids:
            return
        yield int(token)
        if step + 1 < settings.max_new_tokens:
            outer, inner = running()
            with outer, inner:
                decoding.append(token)


class StreamedText:
    """Turns tokens into text piece by piece; all pieces together are the stripped text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """
        Args:
            tokenizer: The model's.
        """
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self.text = ""

    def add(self, token: int) -> str:
        """The characters that are certain now and were not before."""
        self._tokens.append(token)
        text = str(self._tokenizer.decode(self._tokens, skip_special_tokens=True)).strip()
        if text.endswith(_HALF_CHARACTER) or not text.startswith(self.text):
            return ""
        piece, self.text = text[len(self.text) :], text
        return piece

    def finish(self) -> str:
        """What is left, such as half a character at the end."""
        text = str(self._tokenizer.decode(self._tokens, skip_special_tokens=True)).strip()
        piece = text[len(self.text) :] if text.startswith(self.text) else ""
        self.text = text
        return piece
