"""Prompt and prefix tuning: trained vectors in front of each text, and the logits without them."""

from typing import Any

import torch
from peft import PeftModel, PeftType
from torch import nn

from lowcost_ft.errors import UserError

__all__ = ["VirtualTokens", "has_virtual_tokens", "virtual_logits"]


def has_virtual_tokens(model: Any) -> bool:
    """Whether a model is a peft model that puts vectors in front of its input."""
    return isinstance(model, PeftModel) and bool(model.active_peft_config.is_prompt_learning)


class VirtualTokens(nn.Module):
    """Calls a peft model and returns logits for the text alone: `(batch, sequence, labels)`.

    A prompt is part of the input, so a logit comes out for each of its vectors, which no label
    belongs to. A prefix is not: it stands in the keys and values of each layer.
    """

    def __init__(self, peft_model: PeftModel) -> None:
        super().__init__()
        self.peft_model = peft_model
        config = peft_model.active_peft_config
        in_input = config.peft_type not in (PeftType.PREFIX_TUNING, PeftType.CARTRIDGE)
        per_token = "TOKEN" in str(config.task_type)
        self.to_strip = config.num_virtual_tokens if in_input and per_token else 0

    @property
    def config(self) -> Any:
        """The configuration of the model of transformers."""
        return self.peft_model.config

    @property
    def supports_gradient_checkpointing(self) -> bool:
        """Whether the layers of the model can be computed again in the backward pass."""
        return bool(self.peft_model.get_base_model().supports_gradient_checkpointing)

    @property
    def is_activation_checkpointing(self) -> bool:
        """Whether the layers are computed again in the backward pass."""
        return any(getattr(m, "gradient_checkpointing", False) for m in self.peft_model.modules())

    def forward(self, **inputs: torch.Tensor) -> Any:
        """Takes and returns what the model of transformers does."""
        output = self.peft_model(**inputs)
        if self.to_strip:
            output.logits = output.logits[:, self.to_strip :]
        return output


def virtual_logits(model: Any, max_length: int) -> int | None:
    """How many logits stand in front of those of a text's tokens; None where that cannot be.

    Raises:
        UserError: The model has too few positions for a text of `max_length` tokens after them.
    """
    if not has_virtual_tokens(model):
        return None
    count, config = model.active_peft_config.num_virtual_tokens, model.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", None)
    # Some families count positions from 2.
    if longest is not None and max_length + count + 2 > longest:
        left = longest - count - 2
        fix = f"lower --max-length to {left}" if left > 2 else "take fewer --num-virtual-tokens"
        raise UserError(
            f"--max-length {max_length} and {count} virtual tokens are more than the {longest} "
            f"positions of the model: {fix}"
        )
    return VirtualTokens(model).to_strip or None
