"""What operators of a CPU or a GPU allocate while they run, and free again before they return.

The meta device allocates nothing of the kind. Every rule here says where it comes from.
"""

import math
from collections.abc import Sequence
from typing import Any

import bitsandbytes  # noqa: F401 - registers its operators
import torch

from lowcost_ft.memory.operators import Target

__all__ = ["scratch_bytes"]

_aten = torch.ops.aten


def scratch_bytes(
    target: Target, func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Any
) -> int:
    """Bytes that an operator allocates and frees again before it returns.

    Args:
        target: The device.
        func: The operator.
        args: Its arguments.
        kwargs: Its named arguments.
        out: What it returned.
    """
    rule = (_CUDA if target.device == "cuda" else _CPU).get(func)
    if rule is not None:
        return rule(target, args, kwargs)
    if target.device == "cpu" and func in _POINTWISE:
        return _promotion(args, out)
    return 0


def _promotion(args: Sequence[Any], out: torch.Tensor) -> int:
    """A CPU kernel reads one type: inputs of another are converted as a whole beforehand.

    A GPU's kernel converts each element as it reads it.
    """
    wanted = out.dtype
    others = (a for a in args if isinstance(a, torch.Tensor) and a.ndim and a.dtype != wanted)
    return sum(other.numel() for other in others) * wanted.itemsize


def _attention_tiles(target: Target, query: torch.Tensor, key: torch.Tensor) -> tuple[int, int]:
    """Rows and columns of the block of scores that one CPU thread computes at a time."""
    length = query.size(-2)
    rows = 256 if length >= 768 else 64 if length >= 192 else 32
    return min(rows, length), min(512, key.size(-2))


def _cpu_attention(target: Target, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    # ATen/native/cpu/FlashAttentionKernel.cpp: scores, row maxima, row sums, and the result.
    rows, columns = _attention_tiles(target, args[0], args[1])
    block = (rows * columns + 2 * rows + rows * args[0].size(-1)) * 4
    if args[0].dtype != torch.float32:
        block += rows * columns * args[0].dtype.itemsize
    return target.num_threads * block


def _cpu_attention_backward(target: Target, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    # The same file: scores and their gradient for each thread, and one row of sums.
    rows, columns = _attention_tiles(target, args[1], args[2])
    block = 2 * rows * columns * 4
    if args[1].dtype != torch.float32:
        block += 2 * rows * columns * args[1].dtype.itemsize
    return target.num_threads * block + rows * 4


def _safe_softmax(target: Target, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    # Looks for rows that are masked throughout: a byte a score, a byte a row.
    scores = args[0].numel()
    return scores + scores // max(1, args[0].size(args[1]))


def _cpu_norm_backward(target: Target, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    # layer_norm_kernel.cpp: the gradients of scale and shift are summed in a buffer a thread.
    trained = args[-1][1] or args[-1][2]
    width = math.prod(args[2])
    return target.num_threads * 2 * width * 4 if trained else 0


def _cpu_index_copy(target: Target, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    # Embedding.cpp makes indices contiguous (token types of a batch are one row, expanded).
    return 0 if args[1].is_contiguous() else args[1].numel() * args[1].element_size()


def _cuda_embedding_backward(target: Target, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    # EmbeddingBackwardKernel.cu sorts the indices: keys and positions, before and after.
    return 4 * 8 * args[1].numel()


def _cuda_flash_backward(target: Target, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    # flash_api.cpp: the query's gradient is summed in float32, lengths rounded up to 128 and
    # widths to 32, and there is a float32 a row for the sum of (gradient x output).
    batch, heads, length, width = args[1].shape
    rows = batch * heads * _round_up(length, 128)
    return 4 * rows * (_round_up(width, 32) + 1)


def _cuda_efficient_backward(target: Target, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    # attention_backward.cu: a float32 a row, and in half precision a float32 gradient of the query.
    batch, heads, length, width = args[1].shape
    summed = width if args[1].dtype != torch.float32 else 0
    return 4 * batch * heads * _round_up(length, 32) * (1 + summed)


def _cpu_adam_8bit(target: Target, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    # bitsandbytes/backends/cpu/ops.py: both moments and the gradient in float32, and a square root
    # before and after it is corrected.
    return 5 * 4 * args[1].numel()


def _cpu_adam_32bit(target: Target, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    # The same file: the gradient, and a square root before and after a number is added.
    return 3 * 4 * args[1].numel()


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


_POINTWISE = {
    getattr(_aten, name).Tensor
    for name in ("add", "sub", "mul", "div", "maximum", "minimum")
    if hasattr(getattr(_aten, name), "Tensor")
}
_CPU: dict[Any, Any] = {
    _aten._scaled_dot_product_flash_attention_for_cpu.default: _cpu_attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _cpu_attention_backward,
    _aten._safe_softmax.default: _safe_softmax,
    _aten.native_layer_norm_backward.default: _cpu_norm_backward,
    _aten.embedding.default: _cpu_index_copy,
    _aten.embedding_dense_backward.default: _cpu_index_copy,
    torch.ops.bitsandbytes.optimizer_update_8bit_blockwise.default: _cpu_adam_8bit,
    torch.ops.bitsandbytes.optimizer_update_32bit.default: _cpu_adam_32bit,
}
_CUDA: dict[Any, Any] = {
    _aten._safe_softmax.default: _safe_softmax,
    _aten.embedding_dense_backward.default: _cuda_embedding_backward,
    _aten._scaled_dot_product_flash_attention_backward.default: _cuda_flash_backward,
    _aten._scaled_dot_product_efficient_attention_backward.default: _cuda_efficient_backward,
}
