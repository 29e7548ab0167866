"""The encoder of a model that writes, taken out of it: its output for each source is kept.

With `--trainable-layers K` the encoder and the decoder's lower layers stay as they are. What the
encoder makes of a source is a constant, which `EncoderPart` keeps. The decoder runs as a whole: all
of its layers read the encoder's output, and T5's first one holds the biases of the others.
"""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from lowcost_ft.data.features import Features
from lowcost_ft.frozen.lower_part import LowerPart, StandIn
from lowcost_ft.models.family import Family

__all__ = ["EncoderPart", "lower_part", "rows_read"]

_ENCODER = "encoder"


def lower_part(model: Any, family: Family | None, trainable_layers: int) -> LowerPart:
    """What of a model need not run again for rows that it has seen; arguments as of `LowerPart`."""
    if family is not None and family.encoder_layers is not None:
        return EncoderPart(model, family, trainable_layers)
    return LowerPart(model, family, trainable_layers)


def rows_read(features: Features, family: Family | None) -> Features:
    """The rows as the lower part reads them: those of an encoder lack their targets.

    Args:
        features: The rows of a task.
        family: The model's entry in the table.
    """
    if family is None or family.encoder_layers is None or "prompt_tokens" not in features.arrays:
        return features
    sources = features["prompt_tokens"]
    places = np.arange(len(features.input_ids)) - np.repeat(features.starts[:-1], features.lengths)
    return replace(
        features,
        input_ids=features.input_ids[places < np.repeat(sources, features.lengths)],
        starts=np.concatenate([[0], np.cumsum(sources)]),
        arrays={"prompt_tokens": sources},
    )


class EncoderPart(LowerPart):
    """The encoder below a decoder whose top layers train.

    The states of a row are those of its source, `(batch, source, hidden)`: see `rows_read`.
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
            inputs: `input_ids` and `attention_mask` of sources, `(batch, source)`.
        """
        with torch.no_grad():
            states = self.modules[_ENCODER](
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                return_dict=True,
            )[0]
        # What stands at padding is masked, and differs from batch to batch.
        return states * inputs["attention_mask"].unsqueeze(-1)

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
