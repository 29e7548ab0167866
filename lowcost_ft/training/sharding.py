"""Models that FSDP splits over devices: whole tensors out of them, and whole tensors back in."""

from collections.abc import Iterable
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

__all__ = [
    "exchange",
    "is_sharded",
    "on_device",
    "own_part",
    "prepare_training",
    "put_back",
    "split_by_layer",
    "whole_tensor",
]
__all__ += ["split_like", "whole_tensors"]


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether each process holds only its part of every weight."""
    return accelerator.distributed_type == DistributedType.FSDP


def split_by_layer(accelerator: Accelerator, layer: nn.Module) -> None:
    """Makes FSDP gather one layer of this class at a time, unless the user named other modules.

    Accelerate's own choice, the modules that transformers keeps on one device, may hold the
    embeddings, which it then tries to split twice.
    """
    plugin = accelerator.state.fsdp_plugin
    if plugin.transformer_cls_names_to_wrap is None:
        plugin.transformer_cls_names_to_wrap = [type(layer).__name__]


def on_device(accelerator: Accelerator, model: nn.Module) -> nn.Module:
    """Moves a model that only predicts to the device, or splits it as training was split."""
    if not is_sharded(accelerator):
        return model.to(accelerator.device)
    # Accelerate shards a model only together with an optimizer; this one never steps.
    unused = torch.optim.SGD(model.parameters(), lr=0.0)
    prepared, _ = accelerator.prepare(model, unused)
    return prepared


def prepare_training(
    accelerator: Accelerator, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Prepares model and optimizer by Accelerate.

    A model that is whole in every process is not wrapped for data parallelism: `StepRunner` adds
    up the gradients of the processes itself.
    """
    if is_sharded(accelerator):
        # Both together: sharding replaces the weights, which the optimizer must know.
        return accelerator.prepare(model, optimizer)
    return accelerator.prepare_model(model, evaluation_mode=True), accelerator.prepare(optimizer)


def whole_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """The whole tensor; a split one is put together from the parts of all processes."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_tensors(
    named: Iterable[tuple[str, torch.Tensor]], *, keep: bool = True
) -> dict[str, torch.Tensor]:
    """Copies tensors to the CPU, each put together from its parts.

    Where a model is sharded, all processes must call this with the same names, in the same order.

    Args:
        named: Names and tensors, such as `model.named_parameters()`.
        keep: Whether this process wants the copies; others only give their parts.
    """
    whole = {}
    for name, tensor in named:
        value = whole_tensor(tensor.detach())  # One at a time: the device need not hold all.
        if keep:
            # This always copies, since what was just gathered may still be arriving.
            whole[name] = value.to("cpu", copy=True).contiguous()
    return whole


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that this process holds: all of it, unless it is split."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def exchange(
    model: nn.Module, weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]
) -> None:
    """Swaps a model's parameters with tensors of the same names and shapes.

    Whole tensors change places without a copy. Parts of split ones are copied, since FSDP reads
    them where they are.
    """
    _forget_gathered(model)
    with torch.no_grad():
        for name, weight in weights.items():
            if not isinstance(weight, DTensor):
                weight.data, others[name] = others[name], weight.data
                continue
            part, other = own_part(weight), own_part(others[name])
            kept = part.clone()
            part.copy_(other)
            other.copy_(kept)


def _forget_gathered(model: nn.Module) -> None:
    """Drops whole copies of split weights, which a forward pass may have left behind."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def put_back(model: nn.Module, whole: dict[str, torch.Tensor]) -> None:
    """Copies whole tensors into the parameters of the same names, or into this process's parts."""
    _forget_gathered(model)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in whole.items():
            target = parameters[name]
            if isinstance(target, DTensor):
                mesh, placements = target.device_mesh, target.placements
                value = distribute_tensor(value.to(target.device), mesh, placements)
            target.copy_(value)


def split_like(parameter: torch.Tensor, values: dict[str, Any]) -> dict[str, Any]:
    """Splits whole tensors (of the optimizer's state) in the way that their parameter is split."""
    if not isinstance(parameter, DTensor):
        return values
    mesh, placements = parameter.device_mesh, parameter.placements
    return {
        name: distribute_tensor(value.to(parameter.device), mesh, placements)
        if torch.is_tensor(value) and value.shape == parameter.shape
        else value
        for name, value in values.items()
    }
