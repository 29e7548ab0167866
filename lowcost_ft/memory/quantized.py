"""Stand-ins for bitsandbytes' quantized layers: on the meta device they allocate what those do.

The kernels of nf4 refuse the meta device. What its stand-in makes and keeps was read off
bitsandbytes 0.50 (`autograd/_functions.py`, `functional.py`). Both are compared with the real
layers, on the CPU, by a test.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora.bnb import Linear4bit as LoraLinear4bit
from peft.tuners.lora.bnb import Linear8bitLt as LoraLinear8bit
from torch import nn
from torch.nn import functional as F  # noqa: N812
from transformers.pytorch_utils import Conv1D

from lowcost_ft.models.int8_linear import simulate_int8
from lowcost_ft.models.quantized_layers import MultiplyInt8

__all__ = ["put_stand_ins"]

_NF4_BLOCK = 64
"""Weights that share a scale."""
_SCALE_BLOCK = 256
"""Scales, of 8 bits each, that share one in float32."""


def put_stand_ins(
    model: nn.Module,
    *,
    quantization: str,
    kept: tuple[str, ...],
    dtype: torch.dtype,
    device: str,
) -> None:
    """Replaces, in place, the linear layers that would be quantized; those of int8 stand there.

    Args:
        model: A task model on the meta device, with its adapter.
        quantization: "int8", "8bit" or "nf4".
        kept: Paths of the linear layers that stay as they are, before adapters were added.
        dtype: Precision of the computation.
        device: Type of the device that is simulated.
    """
    if quantization == "int8":
        simulate_int8(model, device)
        return
    for name, module in list(model.named_modules()):
        adapted = isinstance(module, LoraLinear)
        plain = isinstance(module, nn.Linear | Conv1D) and not _inside_adapter(name)
        # peft keeps a trained copy of each head beside the head itself.
        before = name.replace(".modules_to_save.default", "").replace(".original_module", "")
        if not (adapted or plain) or before in kept:
            continue
        replaced: Any = module.base_layer if adapted else module
        if isinstance(replaced, _Quantized):
            continue
        kind = _Nf4 if quantization == "nf4" else _Int8
        stand_in = kind(replaced, dtype)
        if adapted:
            # peft's own layers for quantized weights: one more copy of each result under nf4.
            module.base_layer = stand_in
            module.__class__ = LoraLinear4bit if quantization == "nf4" else LoraLinear8bit
        else:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, stand_in)


def _inside_adapter(name: str) -> bool:
    """Whether a layer belongs to an adapter, or is the one that an adapter wraps."""
    return ".lora_" in name or name.endswith(".base_layer")


class _Quantized(nn.Module):
    """Codes and scales instead of weights."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        weight: Any = layer.weight
        self.out_features, self.in_features = weight.shape
        if isinstance(layer, Conv1D):  # keeps its weights the other way round
            self.in_features, self.out_features = weight.shape
        self.dtype = dtype
        self.bias: Any = layer.bias

    def _keep(self, **shapes: tuple[tuple[int, ...], torch.dtype]) -> None:
        for name, (shape, dtype) in shapes.items():
            tensor = torch.empty(shape, dtype=dtype, device="meta")
            self.register_parameter(name, nn.Parameter(tensor, requires_grad=False))

    def _cast(self, x: torch.Tensor) -> torch.Tensor:
        """The input as `models/quantized_layers.py` takes it: in the precision of autocast."""
        return x if self.dtype == torch.float32 else x.to(self.dtype)


class _Nf4(_Quantized):
    """`Linear4bit` with double quantization: a whole copy of the weights while it multiplies."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__(layer, dtype)
        count = self.out_features * self.in_features
        blocks = -(-count // _NF4_BLOCK)
        self._keep(
            weight=(((count + 1) // 2, 1), torch.uint8),
            scales=((blocks,), torch.uint8),
            scale_scales=((-(-blocks // _SCALE_BLOCK),), torch.float32),
            tables=((16 + 256 + 1,), torch.float32),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._cast(x)
        bias = None if self.bias is None else self.bias.to(self.dtype)
        shape = (self.out_features, self.in_features)
        result = _MultiplyNf4.apply(x.to(self.dtype), self.weight, self.scales, bias, shape)
        return result.to(x.dtype)


class _MultiplyNf4(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        codes: torch.Tensor,
        scales: torch.Tensor,
        bias: torch.Tensor | None,
        shape: tuple[int, int],
    ) -> torch.Tensor:
        ctx.codes, ctx.scales, ctx.shape = codes, scales, shape
        weights = _decoded(codes, scales, shape, x.dtype)
        return F.linear(x, weights, bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        # The codes were made of float32 weights and are decoded to that first.
        weights = _decoded(ctx.codes, ctx.scales, ctx.shape, torch.float32).to(gradient.dtype)
        return torch.matmul(gradient, weights), None, None, None, None


def _decoded(
    codes: torch.Tensor, scales: torch.Tensor, shape: tuple[int, int], dtype: torch.dtype
) -> torch.Tensor:
    full_scales = scales.to(torch.float32)
    weights = codes.new_empty(shape, dtype=dtype)
    del full_scales
    return weights


class _Int8(_Quantized):
    """`Linear8bitLt` as it is made to compute here (`models/quantized_layers.py`)."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__(layer, dtype)
        self._keep(
            weight=((self.out_features, self.in_features), torch.int8),
            scales=((self.out_features,), torch.float32),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._cast(x)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        result: torch.Tensor = MultiplyInt8.apply(x, self.weight, self.scales, bias)
        return result
