"""Copies a number from the device to the host, which goes on working meanwhile."""

import torch

__all__ = ["Arriving"]


class Arriving:
    """A number whose copy starts at once, and which is read later.

    Reading a tensor of a GPU makes the host wait for everything that the device was asked to do.
    This waits only for what it was asked to do before the copy. On a CPU nothing is copied.
    """

    def __init__(self, number: torch.Tensor) -> None:
        """
        Args:
            number: The number, `()`, on the device.
        """
        self._event: torch.cuda.Event | None = None
        if number.device.type == "cuda":
            number = number.to("cpu", non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        self._number = number

    def read(self) -> float:
        """Waits for the number and returns it."""
        if self._event is not None:
            self._event.synchronize()
        return float(self._number)
