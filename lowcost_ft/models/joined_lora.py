"""LoRA layers that read the same input, computed together in the precision of their weights.

Under automatic mixed precision a step of LoRA starts more kernels than one of full fine-tuning, and
on a GPU it is kernels that small models wait for. Most of them are casts: of each layer's input, of
its two matrices, and of their gradients. Here

- all matrices are cast in one operation before a micro-batch, and their gradients in one after it;
- the weights of query, key and value (and of gate and up) lie in one tensor of which each layer has
  a view, so that one product serves all of them, and the input is cast once.

With x (tokens, in), the frozen weights stacked as W (outs, in) and A (n r, in), one B (out, r) for
each of the n layers, and the scaling s:

    u = x A'                    y = x W' + b,   y_i += s u_i B_i'
    du_i = dy_i B_i             dx = dy W + s du A
                                dA = s du' x,   dB_i = s dy_i' u_i

The sums are those of `lean_lora.py`. A step on a GPU takes them in this way; on a CPU starting an
operation costs little, and its library would copy what lies apart. Where a layer is more than that
(dropout inside LoRA, DoRA, several adapters, quantized weights) or nothing has to be cast, it is
computed as there.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import nn
from transformers.pytorch_utils import Conv1D

from lowcost_ft.models.joined_products import CastMatrices, JoinedFunction, MatrixPlan

__all__ = ["JoinableLinear", "JoinedLora", "LoraGroup", "adds_one_update", "autocast_dtype"]

_SAME_INPUT = (
    ("query", "key", "value"),
    ("q_proj", "k_proj", "v_proj"),
    ("q_lin", "k_lin", "v_lin"),
    ("query_proj", "key_proj", "value_proj"),
    ("gate_proj", "up_proj"),
)
"""Names of layers that one module of the supported families calls with one input."""
_OF_ANOTHER_TEXT = ("cross", "encoder_attn", "EncDec")
"""Parts of the names of attention whose keys come from an encoder's output."""


def autocast_dtype(device: str) -> torch.dtype | None:
    """The precision of matrix products under automatic mixed precision; None where it is off."""
    # A simulated step is on no device, and says by its flag which one it stands for.
    devices = ("cpu", "cuda") if device == "meta" else (device,)
    for name in devices:
        if torch.is_autocast_enabled(name):
            return torch.get_autocast_dtype(name)
    return None


class JoinableLinear(Linear):
    """A LoRA layer of peft that may belong to a group."""

    lora_group: "LoraGroup | None" = None


def adds_one_update(layer: Linear) -> bool:
    """Whether a layer adds one plain update to a linear layer."""
    active = layer.active_adapters
    if layer.disable_adapters or layer.merged or len(active) != 1:
        return False
    name, known = active[0], layer.lora_A
    if name not in known or name in layer.lora_variant or layer.lora_bias[name]:
        return False
    return type(layer.base_layer) in (nn.Linear, Conv1D)


class LoraGroup:
    """Layers of one module that read the same input; or one layer alone.

    Attributes:
        layers: Its layers.
    """

    def __init__(self, layers: Sequence[JoinableLinear]) -> None:
        self.layers = list(layers)
        self._stacked: tuple[torch.Tensor, torch.Tensor | None] | None = None
        self._cast: tuple[torch.Tensor, ...] | None = None
        self._input: torch.Tensor | None = None
        self._outputs: dict[int, torch.Tensor] = {}

    @property
    def widths(self) -> list[int]:
        """How wide each layer's output is."""
        return [int(layer.out_features or 0) for layer in self.layers]

    def matrices(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The A `(r, in)` and the B `(out, r)` of each layer."""
        names = [layer.active_adapters[0] for layer in self.layers]
        pairs = list(zip(names, self.layers, strict=True))
        a: list[Any] = [layer.lora_A[name].weight for name, layer in pairs]
        b: list[Any] = [layer.lora_B[name].weight for name, layer in pairs]
        return a, b

    def known(self) -> "LoraGroup | None":
        """The group that these layers are already."""
        group = self.layers[0].lora_group
        return group if group is not None and group.layers == self.layers else None

    def can_join(self) -> bool:
        """Whether the layers add one update each, alike, to weights in a lower precision."""
        if not all(_casts(layer) for layer in self.layers):
            return False
        bases = {type(layer.base_layer) for layer in self.layers}
        # Weights that are kept transposed (Conv1D) do not lie one below the other.
        stackable = len(self.layers) == 1 or bases == {nn.Linear}
        return stackable and len({_traits(layer) for layer in self.layers}) == 1

    def stack(self) -> None:
        """Puts the frozen weights into one tensor, of which each layer keeps a view."""
        bases: list[Any] = [layer.base_layer for layer in self.layers]
        if len(bases) == 1 or self._is_stacked():
            return
        weight = torch.cat([base.weight.data for base in bases])  # (outs, in)
        bias = None if bases[0].bias is None else torch.cat([base.bias.data for base in bases])
        place = 0
        for base, width in zip(bases, self.widths, strict=True):
            base.weight.data = weight.narrow(0, place, width)
            if bias is not None:
                base.bias.data = bias.narrow(0, place, width)
            place += width
        self._stacked = weight, bias

    def _is_stacked(self) -> bool:
        """Whether the weights are still views of the tensor; a move to a device parts them."""
        if self._stacked is None:
            return False
        storage = self._stacked[0].untyped_storage()._cdata
        bases: list[Any] = [layer.base_layer for layer in self.layers]
        return all(base.weight.untyped_storage()._cdata == storage for base in bases)

    def hold(self, cast: tuple[torch.Tensor, ...] | None) -> None:
        """Takes the matrices in the lower precision for a micro-batch, or lets them go."""
        self._cast = cast
        self._input, self._outputs = None, {}

    def ready(self, layer: Linear, x: torch.Tensor) -> bool:
        """Whether the group computes the output of one of its layers for x."""
        if self._cast is None or self._cast[0].dtype != autocast_dtype(x.device.type):
            return False
        return adds_one_update(layer)

    def output(self, layer: Linear, x: torch.Tensor) -> torch.Tensor:
        """The output of one of the layers; those of the others wait until they are asked for."""
        assert self._cast is not None
        number = next(n for n, other in enumerate(self.layers) if other is layer)
        if self._input is not x or number not in self._outputs:
            weight, bias = self._weights()
            scaling = layer.scaling[layer.active_adapters[0]]
            outputs = JoinedFunction.apply(x, weight, bias, scaling, *self._cast)
            self._input, self._outputs = x, dict(enumerate(outputs))
        output = self._outputs.pop(number)
        if not self._outputs:
            self._input = None
        return output

    def _weights(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        if len(self.layers) > 1:
            if not self._is_stacked():
                self.stack()
            assert self._stacked is not None
            return self._stacked
        base: Any = self.layers[0].base_layer
        # Conv1D, the linear layer of GPT-2, keeps its weight transposed.
        return base.weight if type(base) is nn.Linear else base.weight.t(), base.bias


class JoinedLora:
    """All groups of a model."""

    def __init__(self, model: nn.Module) -> None:
        """
        Args:
            model: Its plain LoRA layers learn which group they belong to, and the weights of a
                group become views of one tensor.
        """
        found = [group for group in _groups(model) if group.can_join()]
        # A model that was joined before keeps the tensors that it has.
        self.groups = [group.known() or group for group in found]
        for group in self.groups:
            group.stack()
            for layer in group.layers:
                layer.lora_group = group
        self._plan: MatrixPlan | None = None
        if self.groups:
            base: Any = self.groups[0].layers[0].base_layer
            pairs = [group.matrices() for group in self.groups]
            self._plan = MatrixPlan(pairs, base.weight.dtype)

    @contextmanager
    def cast(self) -> Iterator[None]:
        """Around a forward pass and its backward pass: all matrices are cast once."""
        plan = self._plan
        if plan is None:
            yield
            return
        cast = CastMatrices.apply(plan, *plan.parameters)
        place = 0
        for group, count in zip(self.groups, plan.counts, strict=True):
            group.hold(cast[place : place + count])
            place += count
        try:
            yield
        finally:
            for group in self.groups:
                group.hold(None)


def _groups(model: nn.Module) -> Iterator[LoraGroup]:
    for path, module in model.named_modules():
        own = {
            name: child
            for name, child in module.named_children()
            if isinstance(child, JoinableLinear)
        }
        for names in _SAME_INPUT:
            group = LoraGroup([own[name] for name in names if name in own])
            of_one_text = not any(part in path for part in _OF_ANOTHER_TEXT)
            if len(group.layers) > 1 and of_one_text and group.can_join():
                yield group
                own = {name: layer for name, layer in own.items() if name not in names}
        yield from (LoraGroup([layer]) for layer in own.values())


def _casts(layer: Linear) -> bool:
    """Whether a layer adds one update to weights in a lower precision than its matrices."""
    if not adds_one_update(layer) or not isinstance(_dropout(layer), nn.Identity):
        return False
    base: Any = layer.base_layer
    trains = base.weight.requires_grad or (base.bias is not None and base.bias.requires_grad)
    matrix: Any = layer.lora_A[layer.active_adapters[0]].weight
    lower = (torch.bfloat16, torch.float16)
    return not trains and base.weight.dtype in lower and matrix.dtype == torch.float32


def _dropout(layer: Linear) -> nn.Module:
    return layer.lora_dropout[layer.active_adapters[0]]


def _traits(layer: Linear) -> tuple[Any, ...]:
    """What has to be the same in all layers of a group."""
    name = layer.active_adapters[0]
    base: Any = layer.base_layer
    alike = (name, layer.scaling[name], layer.r[name], layer.in_features)
    return *alike, type(base), base.weight.dtype, base.bias is None
