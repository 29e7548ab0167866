"""Two loaded models hold equal weights once: one base model in memory, an adapter each."""

from collections.abc import Iterator

import torch
from torch import nn

__all__ = ["share_weights"]


def share_weights(first: nn.Module, second: nn.Module) -> int:
    """Lets the second model use the first one's frozen weights where they are equal, bit for bit.

    Weights are told by their path in the base model, whatever wraps them; what differs, such as
    heads and adapters, stays apart. Neither model may be trained afterwards.

    Args:
        first: A loaded model, with its adapter beside the weights.
        second: Another one. Its copies are given up.

    Returns:
        Bytes that are held once instead of twice.
    """
    known = {name: module._parameters[key] for name, module, key in _parameters(first)}
    shared = 0
    for name, module, key in _parameters(second):
        own, other = module._parameters[key], known.get(name)
        if own is None or other is None or own.data_ptr() == other.data_ptr():
            continue
        if own.shape != other.shape or own.dtype != other.dtype or own.device != other.device:
            continue
        if type(own) is type(other) and torch.equal(own.data, other.data):
            own.data = other.data
            if getattr(own, "CB", None) is not None:  # bitsandbytes: the same 8 bits once more
                setattr(own, "CB", other.data)  # noqa: B010
            shared += own.numel() * own.element_size()
    return shared


def _parameters(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Path, as the base model has it, module and key of each parameter."""
    for path, module in model.named_modules():
        parts = [p for p in path.split(".") if p not in ("base_model", "model", "base_layer")]
        for key in module._parameters:
            yield ".".join([*parts, key]), module, key
