"""An adapter merged into the full-precision weights that it was added to."""

import math
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.beft.layer import BeftLayer
from peft.utils import ModulesToSaveWrapper

from lowcost_ft.errors import UserError
from lowcost_ft.models.hub import quiet_libraries
from lowcost_ft.models.quantization import weight_bytes
from lowcost_ft.models.virtual_tokens import has_virtual_tokens

__all__ = ["MERGE_TOLERANCE", "check_mergeable", "is_mergeable", "merge_adapter", "parity_gap"]

MERGE_TOLERANCE = 1e-4
"""How far, in float32, a merged model's logits may be from those with the adapter beside it."""


def check_mergeable(model: Any, *, command: str = "merge") -> None:
    """Refuses adapters that do not change weights, and weights that are not complete.

    Args:
        model: What may be a `PeftModel`.
        command: What the user asked for, for the message.

    Raises:
        UserError: The adapter cannot be merged; says why.
    """
    if not isinstance(model, PeftModel):
        raise UserError(f"{command}: the run trained every weight; there is nothing to merge")
    if has_virtual_tokens(model):
        raise UserError(
            f"{command}: the run trained vectors in front of the text, which are not weights of a "
            "layer; use the adapter as it is"
        )
    if weight_bytes(model)[0]:
        raise UserError(
            f"{command}: the base checkpoint itself is quantized, and quantized weights cannot "
            "hold the sum; train on the unquantized checkpoint, with --quantization"
        )
    for name, module in model.named_modules():
        if isinstance(module, BeftLayer) and getattr(module.get_base_layer(), "bias", 0) is None:
            raise UserError(
                f"{command}: {name} has no bias that the trained vector could be added to; use the "
                "adapter as it is"
            )


def is_mergeable(model: Any) -> bool:
    """Whether `merge_adapter` takes the model."""
    try:
        check_mergeable(model)
    except UserError:
        return False
    return True


def merge_adapter(peft_model: PeftModel) -> Any:
    """Adds the adapter to the weights, in place, and puts the trained heads in their places.

    Returns:
        A plain model of transformers.
    """
    check_mergeable(peft_model)
    tuner: Any = peft_model
    # The heads first: some of peft's adapters take every head for a single layer.
    base = peft_model.get_base_model()
    for name, module in list(base.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            base.set_submodule(name, module.modules_to_save[module.active_adapters[0]])
    with quiet_libraries(), torch.no_grad():
        merged = tuner.merge_and_unload(safe_merge=True)
    # transformers would take a model with this for one that has adapters.
    merged._hf_peft_config_loaded = False
    return merged.eval()


def parity_gap(before: torch.Tensor, after: torch.Tensor) -> float:
    """Largest difference of two sets of logits, relative to their size where that is above 1.

    Infinite where one of them is not a finite number and the other is not the same: no tolerance
    allows that.
    """
    scale = before.abs().clamp(min=1.0)
    apart = torch.where(before == after, 0.0, (before - after).abs() / scale)
    gap = float(apart.max()) if before.numel() else 0.0
    return gap if math.isfinite(gap) else math.inf
