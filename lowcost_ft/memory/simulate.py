"""Peak memory of a training step without weights: it runs on tensors that have shapes only."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from accelerate.utils import DistributedType
from torch import nn

from lowcost_ft.memory.cuda_allocator import CudaAllocator
from lowcost_ft.memory.operators import DeviceFunctions, Target
from lowcost_ft.memory.scratch import scratch_bytes
from lowcost_ft.memory.trace import Trace

__all__ = ["PARTS", "MemoryPrediction", "SimulatedAccelerator", "real_integers", "simulate"]

PARTS = (
    "weights",
    "states",
    "adapter",
    "head",
    "gradients",
    "optimizer",
    "activations",
    "temporary",
    "workspace",
)
"""What memory is for, in the order in which it is shown."""

_CUBLAS_WORKSPACE_BYTES = 4096 * 1024 * 2 + 16 * 1024 * 8
_CUBLAS_WORKSPACE_BYTES_HOPPER = 4096 * 1024 * 8
"""What PyTorch gives to cuBLAS from its own allocator (docs: CUBLAS_WORKSPACE_CONFIG,
`:4096:2:16:8`, and `:4096:8` from compute capability 9.0 on)."""
_CUBLASLT_WORKSPACE_BYTES = 1 << 20
"""And to cuBLASLt, which adds the bias in the same kernel."""
_BLAS_HANDLES = 2
"""One handle for the thread that runs the model and one for autograd's, each with workspaces."""


@dataclass(frozen=True, kw_only=True)
class MemoryPrediction:
    """What a training step will need.

    Attributes:
        peak_bytes: Most bytes in tensors at one moment: what the device's allocator will report.
        parts: What they are for at that moment; adds up to `peak_bytes`. See `PARTS`.
        reserved_bytes: What the allocator takes from the device for it: more on a GPU, which hands
            out whole segments.
        context_bytes: What a GPU loses to driver and kernels.
        flops: Floating-point operations of the simulated passes.
        operations: Operators of the simulated passes and of the update that start a kernel; see
            `Trace.operations`.
        paged_bytes: Optimizer state that the driver moves to the host where the GPU is full; no
            part of the peak.
        building: The memory needed before the first step, for frozen layers that are read one at
            a time.
    """

    peak_bytes: int
    parts: dict[str, int]
    reserved_bytes: int
    context_bytes: int
    flops: int
    paged_bytes: int = 0
    building: "MemoryPrediction | None" = None
    operations: dict[str, int] = field(default_factory=dict)

    @property
    def needed_bytes(self) -> int:
        """What the device must have free: what a budget is compared with."""
        before = self.building.needed_bytes if self.building else 0
        return max(self.reserved_bytes + self.context_bytes, before)


class SimulatedAccelerator:
    """As much of an `Accelerator` as a step uses, for tensors on the meta device."""

    device = torch.device("meta")
    process_index = 0
    distributed_type = DistributedType.NO
    scaler = None

    def __init__(self, functions: DeviceFunctions, passes_are_over: Callable[[], None]) -> None:
        """
        Args:
            functions: What the device computes in its own way.
            passes_are_over: To be called when the step's backward passes are over: what they
                needed beside tensors is free again.
        """
        self.passes_are_over = passes_are_over
        self.num_processes = 1
        self.mixed_precision = functions.target.mixed_precision
        self.functions = functions

    def autocast(self) -> AbstractContextManager[None]:
        """Mixed precision of the target."""
        return self.functions.autocast()

    def backward(self, loss: torch.Tensor) -> None:
        """`loss.backward()`, which would set the block's functions aside meanwhile.

        They are needed: checkpointing runs layers forward once more.
        """
        torch.autograd.Variable._execution_engine.run_backward(
            (loss,),
            (torch.ones_like(loss),),
            False,
            False,
            (),
            allow_unreachable=True,
            accumulate_grad=True,
        )

    def reduce(self, tensor: torch.Tensor, reduction: str) -> torch.Tensor:
        """A sum over processes: a new tensor, as Accelerate makes it."""
        return tensor.clone()

    def clip_grad_norm_(self, parameters: Iterable[torch.Tensor], max_norm: float) -> torch.Tensor:
        """As Accelerate does it without a scaler, all gradients at once.

        PyTorch would take one after the other on the meta device, and on no other.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        norms = torch._foreach_norm(gradients, 2.0)
        norm = torch.linalg.vector_norm(torch.stack(norms))
        share = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
        torch._foreach_mul_(gradients, share)
        return norm


def simulate(
    target: Target,
    step: Callable[[SimulatedAccelerator], Any],
    *,
    resident: Mapping[str, Iterable[torch.Tensor]],
    trained: Iterable[nn.Parameter],
    hidden_bytes: int = 0,
) -> MemoryPrediction:
    """Predicts the peak memory of a training step.

    Args:
        target: The hardware.
        step: Runs it, on meta tensors.
        resident: By part, tensors that exist before: weights, buffers, optimizer state.
        trained: Parameters whose gradients it makes.
        hidden_bytes: What the step keeps for its backward pass that is not a tensor of an operator,
            until it calls the accelerator's `passes_are_over`.
    """
    functions = DeviceFunctions(target)
    on_cuda = target.device == "cuda"
    trace = Trace(scratch=partial(scratch_bytes, target), copies_to_device=on_cuda)
    for part, tensors in resident.items():
        trace.add(tensors, part)
    release = trace.add_bytes(hidden_bytes, "activations")

    def passes_are_over() -> None:
        release()
        trace.updating = True

    if on_cuda:
        hopper = target.compute_capability >= (9, 0)
        workspace = _CUBLAS_WORKSPACE_BYTES_HOPPER if hopper else _CUBLAS_WORKSPACE_BYTES
        trace.add_bytes(_BLAS_HANDLES * (workspace + _CUBLASLT_WORKSPACE_BYTES), "workspace")

    def note_gradient(parameter: torch.Tensor) -> None:
        if parameter.grad is not None:  # It is where nothing of the loss depends on it.
            trace.name([parameter.grad], "gradients")

    hooks = [p.register_post_accumulate_grad_hook(note_gradient) for p in trained]
    try:
        with functions, trace:
            step(SimulatedAccelerator(functions, passes_are_over))
    finally:
        for hook in hooks:
            hook.remove()
    sizes: dict[int, int] | None = None
    if on_cuda:
        usage = CudaAllocator.replay(trace.events)
        sizes, reserved = usage.block_bytes, usage.reserved_bytes
    peak, parts = trace.peak(sizes)
    return MemoryPrediction(
        peak_bytes=peak,
        parts={part: parts[part] for part in PARTS if parts.get(part)},
        reserved_bytes=reserved if on_cuda else peak,
        context_bytes=target.context_bytes if on_cuda else 0,
        flops=trace.flops,
        operations=dict(trace.operations),
    )


@contextmanager
def real_integers(model: nn.Module) -> Iterator[None]:
    """Inside the block, integer buffers of a meta model are real ones, full of zeros.

    Models read positions and token types from them, whose values do not matter for memory, but
    which decide in what way they are used.
    """
    replaced = []
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_meta and not buffer.is_floating_point():
                replaced.append((module, name, buffer))
                module._buffers[name] = torch.zeros_like(buffer, device="cpu")
    try:
        yield
    finally:
        for module, name, buffer in replaced:
            module._buffers[name] = buffer
