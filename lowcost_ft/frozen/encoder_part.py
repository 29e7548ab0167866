"""The encoder of a model that writes, taken out of it: its output for each source is kept.

With `--trainable-layers K` the encoder and the decoder's lower layers stay as they are. What the
encoder makes of a source is a constant, which `EncoderPart` keeps. The decoder runs as a whole: all
of its layers read the encoder's output, and T5's first one holds the biases of the others.
"""

from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from transformers.modeling_outputs import BaseModelOutput

from lowcost_ft.frozen.lower_part import LowerPart, StandIn
from lowcost_ft.models.family import Family

__all__ = ["EncoderPart", "lower_part"]

_ENCODER = "encoder"


def lower_part(model: Any, family: Family | None, trainable_layers: int) -> LowerPart:
    """What of a model need not run again for rows that it has seen; arguments as of `LowerPart`."""
    if family is not None and family.encoder_layers is not None:
        return EncoderPart(model, family, trainable_layers)
    return LowerPart(model, family, trainable_layers)


class EncoderPart(LowerPart):
    """The encoder below a decoder whose top layers train.

    The states of a row are those of its source, `(batch, sequence, hidden)`, and zeros where the
    tokens of its target are.
    """

    takes_encoders: ClassVar[bool] = True

    def __init__(self, model: Any, family: Family, trainable_layers: int) -> None:
        """Takes a whole model; see `LowerPart`."""
        super().__init__(model, family, trainable_layers)
        encoder = model.base_model.get_submodule(_ENCODER)
        self.modules = {_ENCODER: encoder}
        rest = [m for name, m in model.base_model.named_children() if name != _ENCODER]
        shared = {id(weight) for module in rest for weight in module.parameters()}
        # The embeddings of tokens are often the decoder's as well, and stay.
        self._own = [
            part
            for part in encoder.children()
            if (own := {id(tensor) for tensor in (*part.parameters(), *part.buffers())})
            and shared.isdisjoint(own)
        ]

    def run(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Runs the encoder alone.

        Args:
            inputs: `input_ids` and `attention_mask` of whole rows, `(batch, sequence)`, and
                `prompt_tokens`, `(batch,)`, where a row holds a target behind so many tokens.
        """
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        width = ids.shape[1]
        if (sources := inputs.get("prompt_tokens")) is not None:
            width = int(sources.max())
            columns = torch.arange(width, device=ids.device)
            mask = (columns < sources.unsqueeze(1)).long()
        with torch.no_grad():
            states = self.modules[_ENCODER](
                input_ids=ids[:, :width], attention_mask=mask, return_dict=True
            )[0]
        # What stands at padding is masked, and differs from batch to batch.
        states = states * mask.unsqueeze(-1)
        return F.pad(states, (0, 0, 0, ids.shape[1] - width))

    def stand_in(self, name: str) -> nn.Module:
        """A module that hands out the states in place of the encoder."""
        return _KeptEncoder(self, name)

    def _movable(self, module: nn.Module) -> list[nn.Module]:
        return self._own


class _KeptEncoder(StandIn):
    """Returns the states of the current micro-batch as the encoder would."""

    def forward(self, input_ids: torch.Tensor, **_: Any) -> BaseModelOutput:
        states = self.part_and_replaced[0]._states
        assert states is not None, "a micro-batch without LowerPart.entering"
        return BaseModelOutput(last_hidden_state=states[:, : input_ids.shape[1]])
