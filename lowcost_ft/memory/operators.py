"""What operators of a CPU or a GPU return, where that differs from the meta device's.

The meta device knows the shapes of results. It does not know which attention kernel a device would
run, that a GPU keeps one byte an element of a dropout mask, or what automatic mixed precision
casts. Every rule here says where it comes from. What a kernel needs while it runs: `scratch.py`.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

__all__ = ["DeviceFunctions", "Target"]

_aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class Target:
    """The hardware that memory is predicted for."""

    device: str = "cpu"
    """"cpu" or "cuda"."""
    mixed_precision: str = "no"
    """"no", "bf16" or "fp16"."""
    num_threads: int = 1
    """CPU threads: some kernels have a buffer for each."""
    compute_capability: tuple[int, int] = (8, 6)
    """Compute capability of the GPU: from 8.0 on there are bfloat16 and flash attention."""
    context_bytes: int = 450 << 20
    """What the driver and PyTorch's kernels take of a GPU beside all tensors: 300 to 550 MiB by GPU
    and driver (CUDA 12, kernels loaded when first used). Measured instead where there is a GPU."""


# ATen/autocast_mode.h (CUDA) and autocast_mode.cpp (CPU): those operators that models use.
_LOWER_PRECISION = {"linear", "matmul", "__matmul__", "bmm", "mm", "addmm", "baddbmm", "addbmm"}
_LOWER_PRECISION |= {"conv1d", "conv2d", "einsum", "scaled_dot_product_attention"}
_FULL_PRECISION_ON_CUDA = {"layer_norm", "rms_norm", "softmax", "log_softmax", "logsumexp"}
_FULL_PRECISION_ON_CUDA |= {"exp", "log", "pow", "__pow__", "rsqrt", "reciprocal", "softplus"}
_FULL_PRECISION_ON_CUDA |= {"sum", "cumsum", "prod", "norm", "mse_loss", "nll_loss"}
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class DeviceFunctions(TorchFunctionMode):
    """Inside the block, functions on meta tensors do what they would do on the target device."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target
        self._lower = _DTYPES.get(target.mixed_precision)
        self._inside = False
        self._casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._asked = False

    def __enter__(self) -> "DeviceFunctions":
        # LoRA's layers ask; the flag itself changes nothing for tensors on the meta device.
        self._asked = torch.is_autocast_enabled(self.target.device)
        torch.set_autocast_enabled(self.target.device, self._lower is not None)
        self._asked_dtype = torch.get_autocast_dtype(self.target.device)
        if self._lower is not None:
            torch.set_autocast_dtype(self.target.device, self._lower)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        torch.set_autocast_enabled(self.target.device, self._asked)
        torch.set_autocast_dtype(self.target.device, self._asked_dtype)
        super().__exit__(*error)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Mixed precision as `torch.autocast` does it: trained weights are cast once a block."""
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
            self._casts.clear()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        on_cuda = self.target.device == "cuda"
        # A layer that checkpointing runs again is again inside autocast.
        if self._lower is not None and (self._inside or runs_again()):
            name = getattr(func, "__name__", "")
            if name in _LOWER_PRECISION:
                args = [self._cast(value, self._lower) for value in args]
                kwargs = {key: self._cast(value, self._lower) for key, value in kwargs.items()}
            elif on_cuda and name in _FULL_PRECISION_ON_CUDA:
                args = [self._cast(value, torch.float32) for value in args]
        if func is F.scaled_dot_product_attention:
            return (_attention_on_cuda if on_cuda else _attention_on_cpu)(
                self.target, *args, **kwargs
            )
        if on_cuda and func is F.dropout:
            return _dropout_on_cuda(*args, **kwargs)
        return func(*args, **kwargs)

    def _cast(self, value: Any, dtype: torch.dtype) -> Any:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        if value.dtype == dtype:
            return value
        trained = value.is_leaf and value.requires_grad and dtype != torch.float32
        if not trained or not self._inside:
            return value.to(dtype)
        if id(value) not in self._casts:
            self._casts[id(value)] = (value, value.to(dtype))
        return self._casts[id(value)][1]


def runs_again() -> bool:
    """Whether a forward pass runs inside a backward pass, as checkpointing has it."""
    return torch._C._current_graph_task_id() != -1 and torch.is_grad_enabled()


def _dropout_on_cuda(
    input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    """A fused kernel, whose mask has one byte an element; a CPU's has the type of the input."""
    if p in (0.0, 1.0) or not training or inplace:
        return F.dropout(input, p, training, inplace)
    return torch.native_dropout(input, p, training)[0]


def _attention_on_cpu(
    target: Target,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """The fused kernel, which knows no dropout and no mask with a gradient, as T5's bias has.

    The conditions are those of ATen/native/transformers/sdp_utils_cpp.cpp.
    """
    if dropout_p or (attn_mask is not None and attn_mask.requires_grad):
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    # It takes fewer heads of keys and values than of queries as they are.
    return _aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, is_causal, attn_mask=_as_bias(attn_mask, query), scale=scale
    )[0]


def _attention_on_cuda(
    target: Target,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Flash attention where there is no mask, else the memory-efficient kernel, else plain.

    The conditions are those of ATen/native/transformers/cuda/sdp_utils.cpp.
    """
    half = query.dtype in (torch.float16, torch.bfloat16)
    width = query.size(-1)
    fits = width % (8 if half else 4) == 0
    if half and attn_mask is None and target.compute_capability >= (8, 0) and width <= 256:
        key, value = _repeated(query, key, enable_gqa), _repeated(query, value, enable_gqa)
        missing = -width % 8
        if missing:
            query, key, value = (F.pad(t, (0, missing)) for t in (query, key, value))
        return _aten._scaled_dot_product_flash_attention(
            query, key, value, dropout_p, is_causal, False, scale=scale
        )[0][..., :width]
    if not fits:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    key, value = _repeated(query, key, enable_gqa), _repeated(query, value, enable_gqa)
    bias = _as_bias(attn_mask, query)
    if bias is not None:
        # The kernel reads rows at aligned addresses (attention.cpp, `preprocess_mask`).
        missing = -bias.size(-1) % 8
        if missing and any(stride % 8 for stride in bias.stride()[:-1]):
            bias = F.pad(bias, (0, missing))[..., : bias.size(-1)]
        bias = bias.expand(*query.shape[:-1], key.size(-2))
    return _aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, True, dropout_p, is_causal, scale=scale
    )[0]


def _repeated(query: torch.Tensor, tensor: torch.Tensor, enable_gqa: bool) -> torch.Tensor:
    """One key or value head for each query head."""
    if not enable_gqa or tensor.size(-3) == query.size(-3):
        return tensor
    return tensor.repeat_interleave(query.size(-3) // tensor.size(-3), -3)


def _as_bias(mask: torch.Tensor | None, query: torch.Tensor) -> torch.Tensor | None:
    """A mask as numbers to add, `(batch, heads or 1, queries, keys)`: PyTorch converts it so."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    zero, minus = (
        torch.scalar_tensor(value, dtype=query.dtype, device=query.device)
        for value in (0.0, -math.inf)
    )
    return torch.where(mask, zero, minus)
