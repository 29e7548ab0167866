"""peft's LoRA on int8 layers, computed with fewer passes over memory, as in `lean_lora.py`.

With the names there and Q, c and the rounding by row of `int8_linear.py`:

    u = x A'            y = (x Q') diag(c) + b,    y += s u B'
    du = dy B           dx = (dy diag(c)) Q,       dx += s du A
                        dB = s dy' u,              dA = s du' x

The update and its gradients are not rounded: they read x and dy as they are.
"""

from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import nn
from torch.autograd.function import once_differentiable

from lowcost_ft.models.int8_linear import Int8Linear
from lowcost_ft.models.integer_products import multiply_by_codes

__all__ = ["make_int8_lora_lean"]


def make_int8_lora_lean(model: nn.Module) -> None:
    """Lets all plain LoRA layers on int8 layers compute their update in the way described above.

    Their class becomes a subclass of peft's with the same parameters, names and methods.
    """
    for module in model.modules():
        if type(module) is Linear and isinstance(module.base_layer, Int8Linear):
            module.__class__ = _LeanInt8Linear


class _LeanInt8Linear(Linear):
    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        base: Any = self.base_layer
        device = base.device_type(x)
        if args or kwargs or not self._is_plain(x, device):
            return super().forward(x, *args, **kwargs)
        name = self.active_adapters[0]
        a, b = self.lora_A[name].weight, self.lora_B[name].weight
        result: torch.Tensor = _Int8LoraFunction.apply(
            x, base.weight, base.scales, base.bias, a, b, self.scaling[name], device
        )
        return result

    def _is_plain(self, x: torch.Tensor, device: str) -> bool:
        """Whether peft would do no more than add one update, in float32."""
        active, known = self.active_adapters, self.lora_A
        if torch.compiler.is_compiling() or self.disable_adapters or len(active) != 1:
            return False
        name, bias = active[0], self.base_layer.bias
        if name not in known or name in self.lora_variant or self.lora_bias[name]:
            return False
        return (
            bool(self.base_layer.rounds_inputs)
            and x.dtype == known[name].weight.dtype == torch.float32
            and not torch.is_autocast_enabled(device)
            and not (isinstance(bias, torch.Tensor) and bias.requires_grad)
            and (not self.training or isinstance(self.lora_dropout[name], nn.Identity))
        )


class _Int8LoraFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        codes: torch.Tensor,
        scales: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
        device: str,
    ) -> torch.Tensor:
        y = multiply_by_codes(x, codes.t(), columns=scales, bias=bias, device=device)
        flat = x.reshape(-1, x.shape[-1])  # (tokens, in)
        u = flat @ a.t()  # (tokens, r)
        y.view(-1, y.shape[-1]).addmm_(u, b.t(), alpha=scaling)
        ctx.save_for_backward(flat, u, codes, scales, a, b)
        ctx.scaling, ctx.device = scaling, device
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, u, codes, scales, a, b = ctx.saved_tensors
        dy = gradient.reshape(-1, gradient.shape[-1])  # (tokens, out)
        du = dy @ b  # (tokens, r), without the scaling, as u
        dx = None
        if ctx.needs_input_grad[0]:
            dx = multiply_by_codes(gradient, codes, factors=scales, device=ctx.device)
            dx.view(-1, dx.shape[-1]).addmm_(du, a, alpha=ctx.scaling)
        # beta=0: what stands there gives the shape alone. dB as its transpose, as in lean_lora.py.
        da = torch.addmm(a, du.t(), flat, beta=0, alpha=ctx.scaling)
        db = torch.addmm(b.t(), u.t(), dy, beta=0, alpha=ctx.scaling).t()
        return dx, None, None, None, da, db, None, None
