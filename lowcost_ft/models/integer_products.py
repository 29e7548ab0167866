"""Products of float matrices with frozen 8-bit ones, by sums of integers, which are exact.

Each row of the float matrix is rounded to 8 bits by a scale of its own, so that it does not depend
on its neighbours. The sums of integers are the same in every order and on every device, and all
that is rounded is rounded in one order: the result is the same to the bit on CPUs and GPUs, with
the kernel in C (`int8_kernel.py`) or with PyTorch's operators.
"""

import functools
import platform

import torch

from lowcost_ft.models.int8_kernel import Kernel, load_kernel

__all__ = ["MOST_SUMMANDS", "checked_kernel", "has_integer_units", "multiply_by_codes"]
__all__ += ["quantize_rows"]

_LEAST = 1e-30
"""What the largest number of a row counts as at least: of a row of zeros, say."""
_EXACT_IN_FLOAT32 = 2**24 // 127**2
"""So many products of two 8-bit codes have a sum that float32 holds exactly, in any order."""
MOST_SUMMANDS = (2**31 - 1) // 127**2
"""So many products of two 8-bit codes fit into the 32 bits of their sum: 133,144."""


def quantize_rows(
    x: torch.Tensor, factors: torch.Tensor | None = None, *, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rounds each row to 8 bits: its largest number becomes 127 or -127.

    A row with a number that is not finite gets a scale that is not finite, so that the product
    is not finite either.

    Args:
        x: `(rows, width)`, float32.
        factors: `(width,)`, float32: the columns are multiplied by them first. None for ones.
        device: "cpu", "cuda", ...: the type of the device that `x` is on, or stands for.

    Returns:
        Codes `(rows, width)` in int8, and scales `(rows, 1)` in float32; row i stands for
        `codes[i] * scales[i]`.
    """
    kernel = _kernel_for(device)
    if kernel is None:
        return _rounded_by_operators(x, factors)
    x = x.contiguous()
    codes = torch.empty_like(x, dtype=torch.int8)
    scales = x.new_empty((len(x), 1))
    if not x.is_meta:
        kernel.quantize_rows(x, factors, codes, scales, least=_LEAST)
    return codes, scales


def _rounded_by_operators(
    x: torch.Tensor, factors: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    if factors is not None:
        x = x * factors
    largest = x.abs().amax(1, keepdim=True).clamp_(min=_LEAST)
    # No division by a number: GPUs multiply by its inverse, and CPUs do not.
    codes = x.mul(largest.reciprocal().mul_(127.0)).round_().to(torch.int8)
    return codes, largest.mul_(1.0 / 127.0)


def multiply_by_codes(
    x: torch.Tensor,
    matrix: torch.Tensor,
    *,
    factors: torch.Tensor | None = None,
    columns: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    device: str,
) -> torch.Tensor:
    """`(x * factors) @ matrix * columns + bias`, with the rows of `x * factors` in 8 bits.

    Args:
        x: `(..., inner)`, float32.
        matrix: `(inner, width)`, int8; it may be a transposed view.
        factors: `(inner,)`, float32, or None for ones.
        columns: `(width,)`, float32, or None for ones.
        bias: `(width,)`, float32, or None.
        device: The type of the device that the tensors are on, or stand for.

    Returns:
        `(..., width)`, float32: a tensor of its own, not a view.
    """
    flat = x.reshape(-1, x.shape[-1])
    shape = (*x.shape[:-1], matrix.shape[1])
    codes, scales = quantize_rows(flat, factors, device=device)
    kernel = _kernel_for(device)
    if kernel is None:
        sums = _integer_product(codes, matrix, device=device).view(shape)
        return _scaled_by_operators(sums, scales.view(*shape[:-1], 1), columns, bias)
    y = x.new_empty(shape)
    rows = y.view(-1, shape[-1])
    _integer_product(codes, matrix, device=device, out=rows.view(torch.int32))
    if not x.is_meta:
        kernel.scale_sums(rows, scales, columns, bias)
    return y


def _scaled_by_operators(
    sums: torch.Tensor,
    scales: torch.Tensor,
    columns: torch.Tensor | None,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    y = sums.to(torch.float32).mul_(scales)
    if columns is not None:
        y.mul_(columns)
    # Not with the product in one operator, which would round once.
    return y if bias is None else y.add_(bias)


def _kernel_for(device: str) -> Kernel | None:
    """The kernel in C, on a CPU; compiled code merges the operators by itself."""
    return checked_kernel() if device == "cpu" and not torch.compiler.is_compiling() else None


@functools.cache
def checked_kernel() -> Kernel | None:
    """The kernel in C, where there is one, if it computes what PyTorch's operators do."""
    kernel = load_kernel()
    if kernel is None:
        return None
    numbers = torch.arange(1, 8 * 37 + 1, dtype=torch.float32).view(8, 37).sin_()
    codes, scales = torch.empty_like(numbers, dtype=torch.int8), numbers.new_empty((8, 1))
    kernel.quantize_rows(numbers, numbers[0], codes, scales, least=_LEAST)
    expected = _rounded_by_operators(numbers, numbers[0])
    sums = codes.to(torch.int32) * 1000
    y = sums.view(torch.float32).clone()
    kernel.scale_sums(y, scales, numbers[1], numbers[2])
    scaled = _scaled_by_operators(sums, scales, numbers[1], numbers[2])
    same = (torch.equal(a, b) for a, b in zip((codes, scales), expected, strict=True))
    return kernel if all(same) and torch.equal(y, scaled) else None


def _integer_product(
    codes: torch.Tensor, matrix: torch.Tensor, *, device: str, out: torch.Tensor | None = None
) -> torch.Tensor:
    """The exact product of two int8 matrices, `(rows, inner)` and `(inner, width)`, in int32."""
    if device == "cuda":
        return _on_cuda(codes, matrix)
    # Of a matrix with one row it may read another memory layout than the one that it has.
    if device == "cpu" and has_integer_units() and codes.shape[1] > 1:
        if out is None:
            return torch._int_mm(codes, matrix)
        return torch._int_mm(codes, matrix, out=out)
    # Pieces that float32 sums exactly. Automatic mixed precision would round the sums.
    with torch.autocast(codes.device.type if not codes.is_meta else "cpu", enabled=False):
        sums = codes.new_zeros((len(codes), matrix.shape[1]), dtype=torch.int32)
        for start in range(0, codes.shape[1], _EXACT_IN_FLOAT32):
            piece = slice(start, start + _EXACT_IN_FLOAT32)
            sums += (codes[:, piece].float() @ matrix[piece].float()).to(torch.int32)
    return sums if out is None else out.copy_(sums)


def _on_cuda(codes: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """cuBLAS wants more than 16 rows, and multiples of 8 of the rest: zeros change no sum."""
    rows, width = len(codes), matrix.shape[1]
    inner = -codes.shape[1] % 8
    if rows <= 16 or inner:
        codes = torch.nn.functional.pad(codes, (0, inner, 0, max(0, 17 - rows)))
    if inner or width % 8:
        matrix = torch.nn.functional.pad(matrix, (0, -width % 8, 0, inner))
    product = torch._int_mm(codes, matrix)
    return product if product.shape == (rows, width) else product[:rows, :width].contiguous()


@functools.cache
def has_integer_units() -> bool:
    """Whether this CPU sums products of 8-bit integers by instructions that cannot overflow.

    x86 CPUs without VNNI add two products in 16 bits, which is not enough for large ones, and
    PyTorch does so without a word. CPUs of other makes compute them one by one.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    if not torch.backends.mkldnn.is_available():
        return False
    largest = torch.full((32, 64), 127, dtype=torch.int8)
    return all(
        bool((torch._int_mm(largest, sign * largest.t()) == sign * 64 * 127**2).all())
        for sign in (1, -1)
    )
