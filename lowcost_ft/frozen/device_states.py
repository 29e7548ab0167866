"""The states of frozen layers as a copy in the memory of the device, where there is room for it."""

from dataclasses import dataclass

import numpy as np
import torch

from lowcost_ft.frozen.stored_states import StoredStates

__all__ = ["DeviceStates", "device_bytes"]


def device_bytes(stored_bytes: int, tokens: int) -> int:
    """What the copy of so many tokens takes.

    Args:
        stored_bytes: Their size on disk.
        tokens: How many they are.
    """
    return stored_bytes // max(1, tokens) * (tokens + 1)


@dataclass(frozen=True, kw_only=True)
class DeviceStates(StoredStates):
    """States of all rows of a data set on the device, `(total_tokens + 1, hidden)`.

    The last line is zeros: it is what stands at padding, so that one operation gathers a
    micro-batch. The numbers are those that `StoredStates` gives.
    """

    @classmethod
    def of(cls, stored: StoredStates, device: torch.device) -> "DeviceStates":
        """Copies states to the device."""
        tokens, width = stored.flat.shape
        flat = torch.zeros((tokens + 1, width), dtype=stored.flat.dtype, device=device)
        flat[:tokens].copy_(stored.flat)
        return cls(flat=flat, dtype=stored.dtype, num_bytes=stored.num_bytes)

    def padded(
        self, starts: np.ndarray, lengths: np.ndarray, *, pin_memory: bool = False
    ) -> torch.Tensor:
        """States of some rows, `(rows, longest, hidden)`; only where they are is sent there."""
        columns = np.arange(int(lengths.max()))
        padding = len(self.flat) - 1
        places = np.where(columns < lengths[:, None], starts[:, None] + columns, padding)  # (B, T)
        index = torch.from_numpy(places)
        index = index.pin_memory() if pin_memory else index
        return self.flat[index.to(self.flat.device, non_blocking=True)]
