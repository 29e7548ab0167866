"""A number on its way from the device to the host, which does other things meanwhile."""

import torch

__all__ = ["Arriving"]


class Arriving:
    """Sets off at once, behind what the device was asked for before, and is read later.

    To read a tensor of a GPU makes the host wait for all that was asked for until then; this waits
    for nothing that was asked for since. On a CPU the number is there already.
    """

    def __init__(self, number: torch.Tensor) -> None:
        """
        Args:
            number: `()`, on the device.
        """
        self._event: torch.cuda.Event | None = None
        if number.device.type == "cuda":
            number = number.to("cpu", non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        self._number = number

    def read(self) -> float:
        """The number, once it is there."""
        if self._event is not None:
            self._event.synchronize()
        return float(self._number)
