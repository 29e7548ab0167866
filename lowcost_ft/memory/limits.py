"""A budget that a GPU enforces, so that a large card can stand in for a small one."""

import torch

from lowcost_ft.errors import UserError

__all__ = ["USABLE", "enforce_budget", "measured_context_bytes", "usable_bytes"]

USABLE = 0.95
"""Share of a card that a program can have."""


def usable_bytes(device: torch.device) -> int:
    """Memory of a GPU that a run can count on, its context included."""
    return int(USABLE * torch.cuda.mem_get_info(device)[1])


def measured_context_bytes(device: torch.device) -> int:
    """Memory of a GPU that the driver and the kernels hold, beside PyTorch's tensors.

    Memory of other programs on the card is included, since this program cannot have it either.
    """
    torch.zeros(1, device=device)  # Makes the context, if there is none yet.
    torch.cuda.synchronize(device)
    free, total = torch.cuda.mem_get_info(device)
    return total - free - torch.cuda.memory_reserved(device)


def enforce_budget(device: torch.device, budget_bytes: int) -> None:
    """Lets PyTorch's allocator take no more of a GPU than the budget leaves beside the context.

    What exceeds it fails as it would on a card of that size.

    Raises:
        UserError: The budget is larger than the card, or smaller than the context.
    """
    _, total = torch.cuda.mem_get_info(device)
    context = measured_context_bytes(device)
    if budget_bytes > total:
        raise UserError(
            f"--memory-budget: {budget_bytes / 2**30:.1f} GiB is more than the "
            f"{total / 2**30:.1f} GiB of {torch.cuda.get_device_name(device)}; lower it"
        )
    if budget_bytes <= context:
        raise UserError(
            f"--memory-budget: the driver alone takes {context / 2**20:.0f} MiB of the GPU; "
            "give more"
        )
    # PyTorch does not take the device without its number here.
    number = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.set_per_process_memory_fraction((budget_bytes - context) / total, number)
