"""Frozen linear layers whose products, forward and backward, are products of integers.

With a frozen W, the output and the gradient of the input are all that training needs of a layer,
and both are products with W. Here W (out, in) is held once, in 8-bit codes Q with a scale c for
each output, W = diag(c) Q, and both products use it:

    y = x W' + b = (x Q') diag(c) + b        dx = dy W = (dy diag(c)) Q

x and dy diag(c) are rounded to 8 bits as well, each row (token) by its own scale. SwitchBack
(Wortsman et al. 2023, arXiv:2304.13013) trains whole models with these two products in 8 bits, and
its gradient is this one: that of the product before x was rounded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

from lowcost_ft.errors import UserError
from lowcost_ft.models.integer_products import (
    MOST_SUMMANDS,
    checked_kernel,
    has_integer_units,
    multiply_by_codes,
    quantize_rows,
)

__all__ = ["Int8Linear", "inputs_unrounded", "int8_notices", "round_linear_layers"]
__all__ += ["simulate_int8"]


class Int8Linear(nn.Linear):
    """A frozen linear layer in 8 bits. To peft it is an `nn.Linear`, and adapters go on top.

    Attributes:
        weight: Codes, `(out, in)`, int8.
        scales: `(out,)`, float32; row i of the weights is `weight[i] * scales[i]`.
        simulated: The type of the device that a layer on the meta device stands for.
        rounds_inputs: Whether its products are of integers (`inputs_unrounded`).
    """

    rounds_inputs = True

    def __init__(self, layer: nn.Module) -> None:
        """
        Args:
            layer: An `nn.Linear` or transformers' `Conv1D`, whose weights are rounded.
        """
        nn.Module.__init__(self)
        full: Any = layer.weight
        if isinstance(layer, Conv1D):  # It keeps its weights the other way round.
            full = full.t()
        self.out_features, self.in_features = full.shape
        self.simulated = "cpu"
        device = full.device.type
        codes, scales = quantize_rows(
            full.detach().float().contiguous(), device="cpu" if device == "meta" else device
        )
        self.weight = nn.Parameter(codes, requires_grad=False)
        self.register_buffer("scales", scales.flatten())
        self.bias: Any = layer.bias

    @property
    def W_q(self) -> torch.Tensor:  # noqa: N802
        """By this name peft knows that `dequantize` gives the weights; DoRA and LoftQ read them."""
        return self.weight

    def dequantize(self) -> torch.Tensor:
        """The weights that the codes stand for, `(out, in)`, float32."""
        scales: Any = self.scales
        return self.weight.float() * scales.unsqueeze(1)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Moves the layer; a change of precision (`model.bfloat16()`) leaves the scales exact."""
        scales: Any = self.scales
        super()._apply(fn, recurse)
        moved: Any = self._buffers["scales"]
        if moved.dtype != scales.dtype:
            self._buffers["scales"] = scales.to(moved.device)
        return self

    def device_type(self, x: torch.Tensor) -> str:
        """The type of the device that computes; of a simulated step, the one that it stands for."""
        return self.simulated if x.is_meta else x.device.type

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(..., in)` to `(..., out)`, in the precision of `x`, or that of autocast."""
        device = self.device_type(x)
        if torch.is_autocast_enabled(device):
            x = x.to(torch.get_autocast_dtype(device))
        if not self.rounds_inputs:
            bias = None if self.bias is None else self.bias.to(x.dtype)
            return nn.functional.linear(x, self.dequantize().to(x.dtype), bias)
        result: torch.Tensor = _Int8Function.apply(x, self.weight, self.scales, self.bias, device)
        return result


class _Int8Function(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        codes: torch.Tensor,
        scales: torch.Tensor,
        bias: torch.Tensor | None,
        device: str,
    ) -> torch.Tensor:
        ctx.codes, ctx.scales, ctx.device = codes, scales, device
        y = multiply_by_codes(
            x.float(),
            codes.t(),
            columns=scales,
            bias=None if bias is None else bias.float(),
            device=device,
        )
        return y.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        dx = db = None
        if ctx.needs_input_grad[0]:
            dx = multiply_by_codes(
                gradient.float(), ctx.codes, factors=ctx.scales, device=ctx.device
            ).to(gradient.dtype)
        if ctx.needs_input_grad[3]:
            db = gradient.reshape(-1, gradient.shape[-1]).float().sum(0)
        return dx, None, None, db, None


def round_linear_layers(model: nn.Module, kept: list[str]) -> None:
    """Replaces the linear layers of a model, in place, by layers in 8 bits.

    Args:
        model: Without adapters; it may be on the meta device.
        kept: Paths of the linear layers that stay as they are.

    Raises:
        UserError: A layer is so wide that sums of its products would overflow.
    """
    made: dict[int, Int8Linear] = {}
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if not isinstance(module, nn.Linear | Conv1D) or name in kept:
            continue
        if max(module.weight.shape) > MOST_SUMMANDS:
            raise UserError(
                f"quantization: {name} is {max(module.weight.shape):,} wide, and sums of more than "
                f"{MOST_SUMMANDS:,} products of 8-bit integers overflow; take --quantization 8bit"
            )
        if id(module) not in made:
            made[id(module)] = Int8Linear(module)
        model.set_submodule(name, made[id(module)])


def simulate_int8(model: nn.Module, device: str) -> None:
    """Tells the int8 layers of a model on the meta device which type of device they stand for."""
    for module in model.modules():
        if isinstance(module, Int8Linear):
            module.simulated = device


@contextmanager
def inputs_unrounded(model: nn.Module) -> Iterator[None]:
    """Inside the block, int8 layers multiply what enters as it is by the weights of their codes.

    Their function is smooth then. Rounding makes it a staircase, whose slope says nothing of its
    steps: integrated gradients do not converge on it.

    Args:
        model: The model, with or without int8 layers.
    """
    layers = [module for module in model.modules() if isinstance(module, Int8Linear)]
    for layer in layers:
        layer.rounds_inputs = False
    try:
        yield
    finally:
        for layer in layers:
            layer.rounds_inputs = True


def int8_notices(device: str) -> list[str]:
    """What makes int8 layers slower on this machine than they need to be.

    Args:
        device: Type of the device that will compute.
    """
    if device != "cpu":
        return []
    if not has_integer_units():
        return [
            "--quantization int8: this CPU has no instructions for products of 8-bit integers "
            "that are known to be exact, so float32 products compute the same function here, no "
            "faster than without the flag"
        ]
    if checked_kernel() is None:
        return [
            "--quantization int8: no C compiler works here (cc, gcc or clang, or CC), so PyTorch's "
            "own operators round to 8 bits: the same results, in more time"
        ]
    return []
