"""The head of a language model: the states that enter it, and how it makes logits of them.

A model's own forward pass would make the logits of all tokens at once. The loss needs only those of
the target, and only some at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lowcost_ft.errors import UserError
from lowcost_ft.tasks.vocabulary_loss import Vocabulary

__all__ = ["BeforeHead", "check_head", "states_before_head", "vocabulary_of"]


_COMPARED = 8
"""Tokens that `check_head` compares."""


class BeforeHead(dict[str, torch.Tensor]):
    """The input of the head: `states`, `(batch, sequence, hidden)`.

    It is a dictionary of tensors, as the outputs of other tasks may be, with the head beside them.

    Attributes:
        vocabulary: The head, which makes logits of the states.
        places: For an encoder-decoder, the place of each state in the row, and whether it has one,
            `(batch, sequence)` each; None if states are in the order of the row.
    """

    def __init__(self, states: torch.Tensor, vocabulary: Vocabulary) -> None:
        super().__init__(states=states)
        self.vocabulary = vocabulary
        self.places: tuple[torch.Tensor, torch.Tensor] | None = None

    def aligned(self, of_rows: torch.Tensor, *, fill: int) -> torch.Tensor:
        """Puts values of the rows' tokens into the order of the states.

        Args:
            of_rows: A value for each token of the rows, `(batch, sequence)`.
            fill: The value for states without a token.
        """
        if self.places is None:
            return of_rows
        places, present = (part.to(of_rows.device) for part in self.places)
        return of_rows.gather(1, places).masked_fill(~present, fill)


def states_before_head(model: Any, inputs: Mapping[str, torch.Tensor]) -> BeforeHead:
    """Runs a language model up to its head.

    What the model does to the states before the head is done (T5 scales them). The tokens of the
    text come last in the states, so virtual tokens in front are left out.

    Args:
        model: A language model of transformers, or a peft model around one.
        inputs: The inputs of the model.
    """
    head = _head(model)
    caught: list[torch.Tensor] = []

    def catch(states: torch.Tensor) -> torch.Tensor:
        caught.append(states)
        return states.new_zeros((1, 1, 1))  # Bias and cap that follow are added to nothing.

    head.forward = catch  # type: ignore[method-assign, assignment]
    try:
        model(**inputs)
    finally:
        del head.forward
    length = inputs.get("decoder_input_ids", inputs["input_ids"]).shape[1]
    states = caught[0][:, -length:]
    return BeforeHead(states, vocabulary_of(model, dtype=_product_dtype(states)))


def vocabulary_of(model: Any, *, dtype: torch.dtype = torch.float32) -> Vocabulary:
    """The head of a model, as weights that turn states into logits.

    Cohere multiplies its logits by `logit_scale`, and Granite divides them by `logits_scaling`.

    Raises:
        UserError: The head has an adapter, whose part would be missing.
    """
    head, own = _head(model), _transformers_model(model)
    bias = getattr(own, "final_logits_bias", None)
    bias = head.bias if bias is None else bias.view(-1)
    config = own.config.get_text_config(decoder=True)
    scale = (getattr(config, "logit_scale", None) or 1.0) / getattr(config, "logits_scaling", 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    return Vocabulary(weight=head.weight, bias=bias, scale=scale, cap=cap, dtype=dtype)


def check_head(model: Any, model_id: str) -> None:
    """Compares the logits of a model with those of `vocabulary_of`, on tokens of all numbers.

    One token would not do: the embedding of padding is zero, and so are its logits. It is for
    architectures that the table of families does not have.

    Raises:
        UserError: They differ, so this architecture does more to its logits than is known.
    """
    last = _transformers_model(model).get_input_embeddings().num_embeddings - 1
    tokens = torch.linspace(0, last, _COMPARED, device=_head(model).weight.device).long()[None]
    inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = tokens
    with torch.inference_mode():
        expected = model(**inputs).logits[0].float()
        found = states_before_head(model, inputs)
        logits = found.vocabulary.logits(found["states"][0])
    same = logits.shape == expected.shape
    if not same or not torch.allclose(logits, expected, atol=1e-4, rtol=1e-4):
        raise UserError(
            f"model_id: {model_id!r} (model type {model.config.model_type!r}) changes its logits "
            "in a way that is not known here, so that its loss would be wrong; choose a model of a "
            "family in docs/methods.md"
        )


def _head(model: Any) -> nn.Linear:
    own = _transformers_model(model)
    head = own.get_output_embeddings()
    if not isinstance(head, nn.Linear) and not hasattr(head, "base_layer"):
        raise UserError(
            f"model_id: the output layer of model type {own.config.model_type!r} is not a linear "
            "layer, so that its loss would be wrong; choose a model of a family in docs/methods.md"
        )
    if hasattr(head, "base_layer"):
        raise UserError(
            "adapter_config: an adapter of the output layer (lm_head) is not supported for tasks "
            "that write text: the loss goes over the vocabulary in pieces; name the layers below"
        )
    return head


def _transformers_model(model: Any) -> Any:
    """The model of transformers inside a peft model that puts virtual tokens in front."""
    wrapped = getattr(model, "peft_model", None)
    return model if wrapped is None else wrapped.get_base_model()


def _product_dtype(states: torch.Tensor) -> torch.dtype:
    """The precision in which the head would multiply these states, inside autocast or not."""
    for device in ("cuda", "cpu"):
        if torch.is_autocast_enabled(device):
            return torch.get_autocast_dtype(device)
    return states.dtype
