"""The LoRA layer of peft, computed with fewer passes over memory.

peft adds `lora_B(lora_A(x)) * scaling` to the frozen layer's output, each operation a pass over a
tensor as wide as the layer, and its gradient another. Here the matrix products accumulate the
update by themselves. With x (tokens, in), frozen W (out, in) and b, A (r, in), B (out, r), and the
scaling s:

    u = x A'            y = x W' + b,    y += s u B'
    du = dy B           dx = dy W,       dx += s du A
                        dB = s dy' u,    dA = s du' x

The same arithmetic in another order: results agree to rounding. On a CPU, where nothing hides such
passes, a layer with its update then takes 1.2 times the time of the frozen layer instead of 1.6.
Under automatic mixed precision all products are taken in its lower precision, as they are by peft,
where W is held in it already (`frozen_precision.py`). Training joins layers there, too
(`joined_lora.py`).
"""

from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import nn
from torch.autograd.function import once_differentiable

from lowcost_ft.models.joined_lora import JoinableLinear, adds_one_update, autocast_dtype

__all__ = ["make_lora_lean", "plain_update"]


def make_lora_lean(model: nn.Module) -> None:
    """Lets all plain LoRA layers of a model compute their update in the way described above.

    Their class becomes a subclass of peft's with the same parameters, names and methods, so a saved
    adapter, and everything that peft can do with the model, stay what they are.
    """
    for module in model.modules():
        if type(module) is Linear:
            module.__class__ = _LeanLinear


def plain_update(
    module: nn.Module,
) -> tuple[Any, torch.Tensor, torch.Tensor, float] | None:
    """The parts of a layer that adds one plain update to a frozen layer, in one precision.

    Returns:
        The frozen layer, A `(r, in)`, B `(out, r)` and the scaling; None for any other module.
    """
    if type(module) is not _LeanLinear or not adds_one_update(module):
        return None
    base: Any = module.base_layer
    name = module.active_adapters[0]
    a: Any = module.lora_A[name].weight
    b: Any = module.lora_B[name].weight
    if base.weight.dtype != a.dtype:
        return None
    return base, a, b, float(module.scaling[name])


class _LeanLinear(JoinableLinear):
    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        base: Any = self.base_layer
        group = None if torch.compiler.is_compiling() else self.lora_group
        if group is not None and not (args or kwargs) and group.ready(self, x):
            return group.output(self, x)
        if args or kwargs or not self._is_plain(x, base):
            return super().forward(x, *args, **kwargs)
        name = self.active_adapters[0]
        # Conv1D, the linear layer of GPT-2, keeps its weight transposed.
        weight = base.weight if type(base) is nn.Linear else base.weight.t()
        a, b = self.lora_A[name].weight, self.lora_B[name].weight
        return _LoraFunction.apply(x, weight, base.bias, a, b, self.scaling[name])

    def _is_plain(self, x: torch.Tensor, base: Any) -> bool:
        """Whether peft would do no more than add one update, in one precision."""
        if torch.compiler.is_compiling():  # It merges the passes itself.
            return False
        if not adds_one_update(self) or base.weight.requires_grad:
            return False
        name, weight = self.active_adapters[0], base.weight
        lower = autocast_dtype(x.device.type)
        a: Any = self.lora_A[name].weight
        fits = x.dtype == a.dtype if lower is None else not _trains(base.bias)
        return (
            fits
            and weight.dtype == (lower or x.dtype)
            and (not self.training or isinstance(self.lora_dropout[name], nn.Identity))
        )


def _trains(bias: torch.Tensor | None) -> bool:
    return bias is not None and bias.requires_grad


class _LoraFunction(torch.autograd.Function):
    """As above. Few calls, since each costs more than its arithmetic where a step is short."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        # All in the precision of the frozen weight, which under autocast may be a lower one.
        dtype = weight.dtype
        flat = _in(dtype, x.reshape(-1, x.shape[-1]))  # (tokens, in)
        y = flat @ weight.t() if bias is None else torch.addmm(bias, flat, weight.t())
        u = flat @ _in(dtype, a).t()  # (tokens, r)
        y.addmm_(u, _in(dtype, b).t(), alpha=scaling)
        ctx.save_for_backward(flat, u, weight, a, b)
        ctx.scaling, ctx.x_dtype = scaling, x.dtype
        # Models may change what a layer returns in place (Longformer, LED), which is not allowed on
        # what autograd knows to be a view.
        shaped: torch.Tensor = torch.ops.aten._unsafe_view(y, [*x.shape[:-1], len(weight)])
        return shaped

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, u, weight, a, b = ctx.saved_tensors
        scaling, dtype = ctx.scaling, gradient.dtype
        dy = gradient.reshape(-1, gradient.shape[-1])  # (tokens, out)
        a_then, b_then = _in(dtype, a), _in(dtype, b)
        du = dy @ b_then  # (tokens, r), without the scaling, as u
        dx = None
        if ctx.needs_input_grad[0]:
            dx = (dy @ weight).addmm_(du, a_then, alpha=scaling)
            dx = _in(ctx.x_dtype, dx.view(*gradient.shape[:-1], weight.shape[1]))
        # beta=0: what stands there gives the shape alone. The gradient of B as that of its
        # transpose: a CPU's library takes half the time for it.
        da = torch.addmm(a_then, du.t(), flat, beta=0, alpha=scaling)
        db = torch.addmm(b_then.t(), u.t(), dy, beta=0, alpha=scaling).t()
        return dx, None, None, _in(a.dtype, da), _in(b.dtype, db), None


def _in(dtype: torch.dtype, tensor: torch.Tensor) -> torch.Tensor:
    # `to` takes microseconds to find that there is nothing to do, a dozen times a layer.
    return tensor if tensor.dtype == dtype else tensor.to(dtype)
