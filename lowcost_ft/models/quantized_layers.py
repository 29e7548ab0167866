"""bitsandbytes' quantized layers, made to compute the same function in every place.

8bit: bitsandbytes multiplies in several ways, by device and by mode. In evaluation on a CPU, and
always on a GPU, it rounds the activations to 8 bits, too, all but the columns in which some token
of the batch is large (the outliers of Dettmers et al. 2022, arXiv:2208.07339). What a token gets
would then depend on its neighbours in the micro-batch, and the columns that are copied out, on how
large the activations happen to be. Here the codes are multiplied by their scales and then by the
activations as they are, on every device: what bitsandbytes itself does in training on a CPU.

nf4: its kernel for evaluation on a CPU repacks the weights in place, for good, with coarser scales,
and has no backward pass: after the first evaluation, gradients would silently stop at every 4-bit
layer (bitsandbytes 0.50). The one for training is called instead.

Both take their input in the precision of automatic mixed precision, as every other linear layer
does there. By themselves they return that of their input, which in float32 is twice as much to keep
for the backward pass, and more than DeBERTa's attention can bear.
"""

import functools
from typing import Any

import bitsandbytes
import torch
from torch import nn
from torch.autograd.function import once_differentiable

__all__ = ["MultiplyInt8", "settle_kernels"]


def settle_kernels(model: nn.Module, dtype: torch.dtype) -> None:
    """Lets all quantized layers of a model compute as described above.

    Args:
        model: With quantized layers or without.
        dtype: Precision of the computation, for nf4.
    """
    for module in model.modules():
        kind: Any = type(module)
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.compute_dtype = dtype
            module.__class__ = _settled_class(kind, _Settled4bit)
        elif isinstance(module, bitsandbytes.nn.Linear8bitLt):
            module.__class__ = _settled_class(kind, _Settled8bit)


@functools.cache
def _settled_class(module_class: Any, settled: type) -> Any:
    if issubclass(module_class, settled):
        return module_class
    # The name stays: libraries look layers up by it.
    return type(module_class.__name__, (settled, module_class), {})


def _in_lower_precision(x: torch.Tensor) -> torch.Tensor:
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


class _Settled4bit:
    """Mixed into the class of a 4-bit layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layer: Any = self
        x = _in_lower_precision(x)
        # bitsandbytes' own rounds the bias for good, and so a bias that trains.
        bias = None if layer.bias is None else layer.bias.to(layer.compute_dtype)
        result: torch.Tensor = bitsandbytes.matmul_4bit(
            x.to(layer.compute_dtype),
            layer.weight,
            bias=bias,
            quant_state=layer.weight.quant_state,
        )
        return result.to(x.dtype)


class _Settled8bit:
    """Mixed into the class of an 8-bit layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layer: Any = self
        if layer.weight.CB is not None:
            self.init_8bit_state()
        x = _in_lower_precision(x)
        bias = None if layer.bias is None else layer.bias.to(x.dtype)
        result: torch.Tensor = MultiplyInt8.apply(x, layer.state.CB, layer.state.SCB, bias)
        return result

    def init_8bit_state(self) -> None:
        """Takes codes and scales from the weight, unless a copy of it came without its scales.

        peft makes such a copy on a CPU whenever it reads the weight, as DoRA does in each step.
        """
        layer: Any = self
        if layer.weight.SCB is not None:
            super().init_8bit_state()  # type: ignore[misc]
        layer.weight.CB = None

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Moves the scales and the second reference to the codes along with the weight."""
        super()._apply(fn, recurse)  # type: ignore[misc]
        layer: Any = self
        for owner in (layer.weight, layer.state):
            if owner.CB is not None:
                owner.CB = layer.weight.data
            if owner.SCB is not None:
                owner.SCB = fn(owner.SCB)
        return self


class MultiplyInt8(torch.autograd.Function):
    """`x W' + b` for a frozen W of 8-bit codes with a scale a row.

    The step keeps nothing but the codes, which are in memory anyway. The weights exist in the
    precision of `x` only while they are multiplied, forward and backward.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        codes: torch.Tensor,
        scales: torch.Tensor,
        bias: torch.Tensor | None,
    ) -> torch.Tensor:
        """
        Args:
            ctx: The context of autograd.
            x: `(..., in)`.
            codes: `(out, in)`, int8.
            scales: `(out,)`, float32.
            bias: `(out,)`, or None.
        """
        ctx.codes, ctx.scales = codes, scales
        return nn.functional.linear(x, _weights(codes, scales, x.dtype), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_input = of_bias = None
        flat = gradient.reshape(-1, gradient.shape[-1])
        if ctx.needs_input_grad[3]:
            of_bias = flat.sum(0)
        if ctx.needs_input_grad[0]:
            product = flat @ _weights(ctx.codes, ctx.scales, gradient.dtype)
            of_input = product.view(*gradient.shape[:-1], product.shape[-1])
        return of_input, None, None, of_bias


def _weights(codes: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return codes.to(dtype).mul_(scales.unsqueeze(1).mul(1.0 / 127.0))
