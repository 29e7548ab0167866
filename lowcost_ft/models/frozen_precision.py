"""Frozen weights in the precision that they are multiplied in.

Under automatic mixed precision every linear layer rounds its weights to bfloat16 or float16 each
time it runs. A weight that never changes can be rounded once: the products are the same to the bit,
the weights take half the memory, and the rounding is not repeated in each micro-batch.
"""

from typing import Any

import torch
from peft import PeftModel
from peft.tuners.ia3 import IA3Layer
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers.pytorch_utils import Conv1D

from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.family import Family

__all__ = ["hold_frozen_weights"]


def hold_frozen_weights(
    model: Any, dtype: torch.dtype, *, family: Family | None = None, top_layers: int | None = None
) -> None:
    """Rounds the frozen linear layers under an adapter, in place, to the computation's precision.

    The model must run under autocast alone from then on. What trains stays as it is, and so do
    quantized layers, embeddings and norms. Of the layers that an adapter wraps only those of plain
    LoRA (AdaLoRA among them) and IA3 are rounded, which do no more with a weight than to multiply
    with it; DoRA, say, takes its norm. A model without an adapter is saved whole, and left alone.

    Args:
        model: A `PeftModel`, or another; it may be on the meta device.
        dtype: What autocast computes in; nothing is done for float32.
        family: Its entry in the table of families, with `top_layers`.
        top_layers: Only in so many of the top layers: those below run from a cache, whose key is
            made of their weights as they were read.
    """
    if dtype == torch.float32 or not isinstance(model, PeftModel):
        return
    part: Any = model
    if top_layers is not None:
        assert family is not None
        part = layer_list(model.get_base_model(), family)
        if family.encoder_layers is None:  # Else the cache holds the encoder's output alone.
            part = part[-top_layers:]
    others = {id(other) for layer in part.modules() for other in _not_rounded(layer)}
    for layer in part.modules():
        if type(layer) not in (nn.Linear, Conv1D) or id(layer) in others:
            continue
        for parameter in (layer.weight, layer.bias):
            if parameter is not None and not parameter.requires_grad:
                parameter.data = parameter.data.to(dtype)


def _not_rounded(layer: Any) -> list[nn.Module]:
    """Parts of an adapter's layer that stay as they are: its own weights, or everything."""
    if not isinstance(layer, BaseTunerLayer):
        return []
    tuner: Any = layer
    if isinstance(layer, LoraLayer):
        plain = not layer.lora_variant and not isinstance(layer, ParamWrapper)
    else:
        plain = isinstance(layer, IA3Layer)
    kept = set(tuner.modules())
    return list(kept - set(tuner.get_base_layer().modules()) if plain else kept)
