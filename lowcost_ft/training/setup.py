"""Sets up the process of a run: accelerator, precision and threads."""

import os

import psutil
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, is_initialized

__all__ = ["build_accelerator", "choose_mixed_precision", "cpu_precision"]
__all__ += ["process_precision", "set_num_threads"]


def choose_mixed_precision(requested: str) -> str:
    """Replaces `auto` by a precision.

    That is bf16 on a GPU that has it, fp16 on an older one, and on a CPU what `cpu_precision` says.

    Raises:
        ValueError: fp16 is asked for without a GPU, where its gradients would need a scaler.
    """
    on_gpu = torch.cuda.is_available()
    if requested == "fp16" and not on_gpu:
        raise ValueError(
            "--mixed-precision fp16 needs a CUDA GPU, and there is none: use bf16 or no"
        )
    if requested != "auto":
        return requested
    if not on_gpu:
        return "no" if torch.accelerator.is_available() else cpu_precision()
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def cpu_precision() -> str:
    """The precision of `auto` on this CPU: bf16 where it has AMX tiles, made for it; else no."""
    return "bf16" if torch.cpu._is_amx_tile_supported() else "no"


def process_precision() -> str:
    """The precision that this process has computed in before; auto: it has not.

    Accelerate keeps one for the life of a process, so that what loads a run follows it.
    """
    return AcceleratorState().mixed_precision if is_initialized() else "auto"


def build_accelerator(
    *,
    mixed_precision: str = "auto",
    report_to: tuple[str, ...] = (),
    project_dir: str | None = None,
) -> Accelerator:
    """Makes the one `Accelerator` of a run, for a single process or for one of several.

    Raises:
        ValueError: See `choose_mixed_precision`; or this process has computed in another one.
    """
    chosen, before = choose_mixed_precision(mixed_precision), process_precision()
    if before not in ("auto", chosen):
        raise ValueError(
            f"--mixed-precision {mixed_precision}: this process has computed in {before} before, "
            f"and Accelerate keeps to one precision: start another process for {chosen}, or give "
            f"mixed_precision={before!r}"
        )
    # On the newest GPUs PyTorch prefers cuDNN's attention, which lays a plan for every new shape:
    # micro-batches are of another shape each.
    torch.backends.cuda.enable_cudnn_sdp(False)
    return Accelerator(
        cpu=not torch.accelerator.is_available(),
        mixed_precision=chosen,
        log_with=list(report_to) or None,
        project_dir=project_dir,
    )


def set_num_threads(requested: int | None, *, local_processes: int) -> int:
    """Sets PyTorch's threads to the physical cores, divided by the local processes.

    A launcher sets `OMP_NUM_THREADS=1` on a machine without a GPU, which would leave all cores
    but one idle; a value above 1 can only come from the user, and is obeyed.

    Returns:
        The number of threads set.
    """
    exported = os.environ.get("OMP_NUM_THREADS", "")
    launched = "ACCELERATE_MIXED_PRECISION" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ
    if requested is None and exported.isdigit() and (int(exported) > 1 or not launched):
        requested = int(exported)
    if requested is None:
        cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
        if hasattr(os, "sched_getaffinity"):
            cores = min(cores, len(os.sched_getaffinity(0)))
        requested = max(1, cores // max(1, local_processes))
    torch.set_num_threads(requested)
    return requested
