"""All matrices of LoRA cast at once, and the products of layers that `joined_lora.py` joins."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch.autograd.function import once_differentiable

__all__ = ["CastMatrices", "JoinedFunction", "MatrixPlan"]

_ALIGNED = 64
"""Every matrix begins at a multiple of so many numbers, as fast kernels want it."""


class MatrixPlan:
    """Where the matrices of some groups lie in one tensor: first all A of a group, then its B."""

    def __init__(
        self, groups: Sequence[tuple[list[torch.Tensor], list[torch.Tensor]]], dtype: torch.dtype
    ) -> None:
        """
        Args:
            groups: The A `(r, in)` and the B `(out, r)` of the layers of each.
            dtype: The lower precision.
        """
        self.parameters: list[torch.Tensor] = []
        self.counts: list[int] = []
        self.dtype = dtype
        self._places: list[tuple[int, tuple[int, ...], list[torch.Size]]] = []
        self.numbers = 0
        for a, b in groups:
            before = len(self._places)
            self._add([len(a) * a[0].shape[0], a[0].shape[1]], a)
            for _, alike in groupby(b, key=len):
                together = list(alike)
                self._add([len(together), *together[0].shape], together)
            self.counts.append(len(self._places) - before)

    @property
    def parts(self) -> list[int]:
        """For each parameter, the number of the part that it is in."""
        return [n for n, (_, _, shapes) in enumerate(self._places) for _ in shapes]

    def _add(self, shape: list[int], matrices: Sequence[torch.Tensor]) -> None:
        self._places.append((self.numbers, tuple(shape), [m.shape for m in matrices]))
        self.parameters += matrices
        count = sum(matrix.numel() for matrix in matrices)
        self.numbers += -(-count // _ALIGNED) * _ALIGNED

    def views(self, flat: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The parts of such a tensor as groups use them, and as the parameters are shaped."""
        parts, each = [], []
        for place, shape, of_parameters in self._places:
            count = sum(size.numel() for size in of_parameters)
            part = flat.narrow(0, place, count)
            parts.append(part.view(shape))
            for size in of_parameters:
                each.append(flat.narrow(0, place, size.numel()).view(size))
                place += size.numel()
        return parts, each


class CastMatrices(torch.autograd.Function):
    """All matrices in the lower precision, and their gradients back, each in one operation."""

    @staticmethod
    def forward(ctx: Any, plan: MatrixPlan, *parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        flat = parameters[0].new_empty(plan.numbers, dtype=plan.dtype)
        parts, each = plan.views(flat)
        torch._foreach_copy_(each, list(parameters))
        return tuple(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        given = {n: gradient for n, gradient in enumerate(gradients) if gradient is not None}
        if not given:
            return (None,) * (1 + len(ctx.plan.parameters))
        flat = ctx.plan.parameters[0].new_empty(ctx.plan.numbers)
        parts, each = ctx.plan.views(flat)
        torch._foreach_copy_([parts[n] for n in given], list(given.values()))
        # A layer that the forward pass did not call has no gradient.
        found = [
            None if gradients[n] is None else g for n, g in zip(ctx.plan.parts, each, strict=True)
        ]
        return None, *found


class JoinedFunction(torch.autograd.Function):
    """The products of a group, as `joined_lora.py` says.

    The B of layers that are equally wide come as one tensor `(n, out, r)`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        scaling: float,
        a: torch.Tensor,
        *b: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        ctx.set_materialize_grads(False)
        flat = x.reshape(-1, x.shape[-1]).to(weight.dtype)  # (tokens, in)
        y = flat @ weight.t() if bias is None else torch.addmm(bias, flat, weight.t())
        u = flat @ a.t()  # (tokens, n r)
        for y_part, u_part, b_part in zip(_wide(y, b), _narrow(u, b), b, strict=True):
            y_part.baddbmm_(u_part, b_part.transpose(1, 2), alpha=scaling)
        ctx.save_for_backward(flat, u, weight, a, *b)
        ctx.scaling, ctx.x_dtype, ctx.x_shape = scaling, x.dtype, x.shape
        outputs, place = [], 0
        for width in _widths(b):
            part = y.narrow(1, place, width)
            # As in lean_lora.py: Longformer and LED change what a layer returns in place. The parts
            # do not overlap.
            outputs.append(torch.ops.aten._unsafe_view(part, [*x.shape[:-1], width]))
            place += width
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[Any, ...]:
        flat, u, weight, a, *b = ctx.saved_tensors
        if all(gradient is None for gradient in gradients):
            return (None,) * (5 + len(b))
        parts = [
            flat.new_zeros(len(flat), width) if gradient is None else gradient.reshape(-1, width)
            for gradient, width in zip(gradients, _widths(b), strict=True)
        ]
        dy = parts[0] if len(parts) == 1 else torch.cat(parts, 1)  # (tokens, outs)
        du = torch.empty_like(u)  # without the scaling, as u
        pieces = list(zip(_wide(dy, b), _narrow(u, b), _narrow(du, b), b, strict=True))
        for dy_part, _, du_part, b_part in pieces:
            torch.bmm(dy_part, b_part, out=du_part)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = (dy @ weight).addmm_(du, a, alpha=ctx.scaling)
            dx = dx.view(ctx.x_shape).to(ctx.x_dtype)
        # beta=0: what stands there gives the shape alone.
        da = torch.addmm(a, du.t(), flat, beta=0, alpha=ctx.scaling)
        db = [
            torch.baddbmm(b_part, dy_part.transpose(1, 2), u_part, beta=0, alpha=ctx.scaling)
            for dy_part, u_part, _, b_part in pieces
        ]
        return dx, None, None, None, da, *db


def _widths(b: Sequence[torch.Tensor]) -> list[int]:
    return [part.shape[1] for part in b for _ in range(len(part))]


def _wide(y: torch.Tensor, b: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Views `(n, tokens, out)` of `(tokens, outs)`, one for each tensor of B."""
    return _apart(y, [(len(part), part.shape[1]) for part in b])


def _narrow(u: torch.Tensor, b: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Views `(n, tokens, r)` of `(tokens, n r)`, one for each tensor of B."""
    return _apart(u, [(len(part), part.shape[2]) for part in b])


def _apart(rows: torch.Tensor, shapes: Sequence[tuple[int, int]]) -> Iterator[torch.Tensor]:
    place = 0
    for count, width in shapes:
        part = rows.narrow(1, place, count * width)
        yield part.view(len(rows), count, width).transpose(0, 1)
        place += count * width
