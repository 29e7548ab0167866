"""Signals that stop a run: the first one takes effect after the step, a second one at once."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

__all__ = ["Interruption", "noted_signals"]

_SAME_SECONDS = 1.0
"""Signals that follow one another faster mean one request: Ctrl-C reaches a process from the
terminal, and again from the launcher above it."""


class Interruption:
    """The signals that arrived inside a block of `noted_signals`."""

    def __init__(self) -> None:
        self.immediate = False
        self._noted = 0
        self._when = 0.0
        # `accelerate launch` dies of a SIGTERM without passing it on.
        launched = "ACCELERATE_MIXED_PRECISION" in os.environ
        self._parent = os.getppid() if launched else None

    @property
    def signal(self) -> int:
        """Number of the signal that asks to stop, or 0."""
        if not self._noted and self._parent is not None and os.getppid() != self._parent:
            self._noted = signal.SIGTERM
        return self._noted

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Notes the first signal; stops at once on a second."""
        now = time.monotonic()
        if self._noted and now - self._when < _SAME_SECONDS:
            return
        if self._noted or self.immediate:
            self._noted, self._when = self._noted or number, now
            self.stop(number)
        self._noted, self._when = number, now
        once_more = "Press Ctrl-C again" if number == signal.SIGINT else "Send the signal again"
        text = f"\nStopping after this step. {once_more} to stop immediately."
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def at_once(self, enabled: bool = True) -> Iterator[None]:
        """Inside the block, which must not change the state, even the first signal stops at once.

        With several processes it does not, since one must not leave alone.
        """
        self.immediate = enabled
        try:
            if enabled and self.signal:
                self.stop(self.signal)
            yield
        finally:
            self.immediate = False

    @staticmethod
    def stop(number: int) -> NoReturn:
        """Ends the run as if the signal had not been noted."""
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


@contextmanager
def noted_signals() -> Iterator[Interruption]:
    """Notes SIGINT and SIGTERM inside the block, unless the process was started to ignore them."""
    interruption = Interruption()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, interruption.handle)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
