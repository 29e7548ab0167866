"""One batch of rows in a model that writes: what it has read, and its logits of the next token."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache, EncoderDecoderCache

__all__ = ["Decoding"]

_NO_TOKEN = -1
"""Stands for padding where tokens are compared, since a model may write the token that pads."""


class Decoding:
    """A batch that grows by a token a row with each step; rows can be repeated and left out.

    Attributes:
        sequences: What the decoder has read so far, `(rows, length)`: the prompts, with -1 in front
            of the shorter ones, or the token that an encoder-decoder begins with.
        logits: Logits of the next token, `(rows, vocabulary)`, in float32.
    """

    def __init__(
        self,
        model: Any,
        prompts: Sequence[np.ndarray],
        *,
        pad_token_id: int,
        start_token_id: int | None,
        device: torch.device,
    ) -> None:
        """Reads the prompts.

        Args:
            model: A model of transformers that writes, or an adapter of peft around one.
            prompts: Tokens of each row; of an encoder-decoder what its encoder reads.
            pad_token_id: What rows are filled up with; its value does not matter.
            start_token_id: What an encoder-decoder's decoder begins with.
            device: Where the model is.
        """
        self._model = model
        longest = max(map(len, prompts))
        encoder_decoder = model.config.is_encoder_decoder
        ids = torch.full((len(prompts), longest), pad_token_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            # A decoder's texts end together, since it goes on where they end.
            places = (
                slice(0, len(prompt)) if encoder_decoder else slice(longest - len(prompt), None)
            )
            ids[row, places] = torch.as_tensor(np.asarray(prompt, np.int64))
            mask[row, places] = 1
        self._mask = mask.to(device)
        self._encoded: Any = None
        if encoder_decoder:
            # Without the configuration, whose number of layers can be that of the encoder.
            self._cache: Any = EncoderDecoderCache(DynamicCache(), DynamicCache())
            self._encoded = model.get_encoder()(
                input_ids=ids.to(device), attention_mask=self._mask, return_dict=True
            )
            assert start_token_id is not None, "a decoder behind an encoder needs a first token"
            self.sequences = torch.full((len(prompts), 1), start_token_id, device=device)
            self._run(self.sequences)
        else:
            self._cache = DynamicCache(config=model.config.get_text_config(decoder=True))
            self.sequences = ids.masked_fill(mask == 0, _NO_TOKEN).to(device)
            self._last_only = _takes(model, "logits_to_keep")
            self._run(ids.to(device))

    def _run(self, tokens: torch.Tensor) -> None:
        """Runs the decoder on new tokens, `(rows, new)`."""
        if self._encoded is not None:
            outputs = self._model(
                encoder_outputs=self._encoded,
                attention_mask=self._mask,
                decoder_input_ids=tokens,
                past_key_values=self._cache,
                use_cache=True,
                return_dict=True,
            )
        else:
            places = (self._mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
            # The logits of a whole prompt would take more memory than all else.
            more = {"logits_to_keep": 1} if self._last_only else {}
            outputs = self._model(
                input_ids=tokens,
                attention_mask=self._mask,
                position_ids=places,
                past_key_values=self._cache,
                use_cache=True,
                return_dict=True,
                **more,
            )
        self._cache = outputs.past_key_values
        self.logits = outputs.logits[:, -1].float()

    def append(self, tokens: torch.Tensor) -> None:
        """Goes on with one token a row, `(rows,)`."""
        tokens = tokens.unsqueeze(1)
        self.sequences = torch.cat([self.sequences, tokens], dim=1)
        if self._encoded is None:
            self._mask = torch.cat([self._mask, torch.ones_like(tokens)], dim=1)
        self._run(tokens)

    def select(self, rows: torch.Tensor) -> None:
        """Keeps the given rows, `(rows,)`, in the given order; one may be there several times."""
        if len(rows) == len(self.sequences) and bool(
            (rows == torch.arange(len(rows), device=rows.device)).all()
        ):
            return
        self.sequences, self.logits = self.sequences[rows], self.logits[rows]
        self._mask = self._mask[rows]
        if self._encoded is not None:
            self._encoded.last_hidden_state = self._encoded.last_hidden_state[rows]
            self._cache.self_attention_cache.reorder_cache(rows)
            self._cache.cross_attention_cache.reorder_cache(rows)
        else:
            self._cache.reorder_cache(rows)
            self._drop_padding()

    def _drop_padding(self) -> None:
        """Forgets columns at the left that hold padding alone, once the longest rows are gone.

        `sequences` keeps them, whose length tells how much is written. Not done where layers keep a
        sliding window, whose keys begin at different columns, or a state without keys (Jamba).
        """
        layers = self._cache.layers
        blank = int(self._mask.any(0).int().argmax())
        plain = all(
            getattr(layer, "keys", None) is not None and not getattr(layer, "is_sliding", False)
            for layer in layers
        )
        if blank == 0 or not plain:
            return
        self._mask = self._mask[:, blank:]
        for layer in layers:
            layer.keys, layer.values = layer.keys[:, :, blank:], layer.values[:, :, blank:]

    @property
    def cache_bytes(self) -> int:
        """Bytes of all kept keys and values."""
        caches = [self._cache]
        if self._encoded is not None:
            caches = [self._cache.self_attention_cache, self._cache.cross_attention_cache]
        return sum(
            tensor.numel() * tensor.element_size()
            for cache in caches
            for layer in cache.layers
            for tensor in (layer.keys, layer.values)
            if tensor is not None
        )


def _takes(model: Any, name: str) -> bool:
    """Whether the forward pass of a model, inside an adapter if there is one, has a parameter."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return name in inspect.signature(inner.forward).parameters
