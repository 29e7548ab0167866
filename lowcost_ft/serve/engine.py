"""Requests of all clients, gathered into waves that the models answer one after the other.

A wave takes what is waiting, in the order of arrival, up to a number of characters. A request with
many texts gives a share to each wave, so that a short one behind it does not wait for all of them.
Within a wave, inputs of one model are sorted by length and cut by a budget of tokens.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from lowcost_ft.errors import UserError
from lowcost_ft.serve.errors import RequestError, busy, not_ready, without_folders
from lowcost_ft.serve.models import ServedModel

__all__ = ["Engine", "Job"]

WAVE_CHARACTERS = 8_192
"""Characters of a wave, about two micro-batches on a CPU: so long waits what comes next."""

SHARE_CHARACTERS = 2_048
"""Characters that one request gives to a wave at once while others are waiting."""

_LOG = logging.getLogger("lowcost_ft.serve")


class Job:
    """The inputs of one request for one model."""

    def __init__(
        self,
        model: ServedModel,
        examples: Sequence[Any],
        sizes: Sequence[int],
        future: "asyncio.Future[list[Any]]",
    ) -> None:
        self.model = model
        self.examples = examples
        self.sizes = sizes
        self.future = future
        self.loop = future.get_loop()
        self.answers: list[Any] = []
        self.taken = 0
        self.cancelled = False

    def take(self, room: int) -> tuple[int, int, int]:
        """The next inputs that fit, at least one: first, last (exclusive), and their characters."""
        first, used = self.taken, 0
        while self.taken < len(self.examples):
            size = self.sizes[self.taken]
            if self.taken > first and used + size > room:
                break
            used += size
            self.taken += 1
        return first, self.taken, used


Compute = Callable[[list[tuple[ServedModel, list[Any]]]], list[list[Any] | Exception]]
"""Models with inputs -> for each model its answers, or why there are none."""
Asked = tuple[ServedModel, Sequence[Any], Sequence[int]]
"""A model, inputs for it, and the characters of each."""


class Engine:
    """The queue, and the thread that empties it.

    Attributes:
        stopping: Whether new requests are refused.
        waiting: Requests that wait or are computed; one that asks several models counts once.
        on_wave: Is told of each wave how many inputs it has.

    Args:
        compute: Answers a wave.
        most_waiting: Requests that may wait; one more is refused.
    """

    def __init__(self, compute: Compute, *, most_waiting: int) -> None:
        self._compute = compute
        self._most_waiting = most_waiting
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self.stopping = False
        self.waiting = 0
        self.on_wave: Callable[[int], object] = _ignore
        self.thread = threading.Thread(target=self._work, name="models", daemon=True)

    def start(self) -> None:
        """Starts the working thread."""
        self.thread.start()

    def stop(self, *, timeout: float | None = None) -> None:
        """Refuses what comes from now on, and waits until what has come is answered."""
        with self._changed:
            self.stopping = True
            self._changed.notify_all()
        if self.thread.is_alive():
            self.thread.join(timeout)

    def refuse(self) -> None:
        """Refuses what comes from now on; what has come is still answered."""
        with self._changed:
            self.stopping = True
            self._changed.notify_all()

    async def answer(self, asked: Sequence[Asked]) -> list[list[Any]]:
        """Answers to the inputs of a request, for each model that it asks.

        Args:
            asked: Each model with its inputs, and the characters of each input.

        Raises:
            RequestError: Too many are waiting, or the server stops, or an input does not fit.
        """
        loop = asyncio.get_running_loop()
        jobs = [Job(*one, loop.create_future()) for one in asked if one[1]]
        if not jobs:
            return [[] for _ in asked]
        with self._changed:
            if self.stopping:
                raise not_ready("stopping")
            if self.waiting >= self._most_waiting:
                raise busy()
            self.waiting += 1
            self._queue += jobs
            self._changed.notify()
        try:
            found = iter(await asyncio.gather(*(job.future for job in jobs)))
            return [next(found) if examples else [] for _, examples, _ in asked]
        finally:
            # A client that has left needs no answer: what is not computed yet is dropped.
            for job in jobs:
                job.cancelled = True
            with self._changed:
                self.waiting -= 1

    def _work(self) -> None:
        while True:
            wave = self._next_wave()
            if wave is None:
                return
            if wave:
                self._answer(wave)

    def _next_wave(self) -> list[tuple[Job, int, int]] | None:
        """What to compute next; None once the server stops and nothing is left."""
        with self._changed:
            while not self._queue:
                if self.stopping:
                    return None
                self._changed.wait()
            wave: list[tuple[Job, int, int]] = []
            room = WAVE_CHARACTERS
            while self._queue and room > 0:
                job = self._queue.popleft()
                if job.cancelled:
                    continue
                share = min(room, SHARE_CHARACTERS) if self._queue else room
                first, last, used = job.take(share)
                room -= used
                wave.append((job, first, last))
                if job.taken < len(job.examples):
                    self._queue.append(job)
            return wave

    def _answer(self, wave: list[tuple[Job, int, int]]) -> None:
        by_model: dict[int, list[tuple[Job, int, int]]] = {}
        for piece in wave:
            by_model.setdefault(id(piece[0].model), []).append(piece)
        pieces = list(by_model.values())
        asked = [
            (
                some[0][0].model,
                [one for job, first, last in some for one in job.examples[first:last]],
            )
            for some in pieces
        ]
        self.on_wave(sum(len(examples) for _, examples in asked))
        try:
            found = self._compute(asked)
        except Exception as error:
            found = [error] * len(asked)
        finished: dict[int, tuple[Job, Exception | None]] = {}
        for some, answers in zip(pieces, found, strict=True):
            place = 0
            for job, first, last in some:
                own: list[Any] | Exception
                if not isinstance(answers, Exception):
                    own = answers[place : place + last - first]
                    place += last - first
                elif len(some) == 1:
                    own = answers
                else:  # What is wrong with one request is no fault of the others.
                    own = self._alone(job, first, last)
                if isinstance(own, Exception):
                    finished[id(job)] = (job, _explained(own))
                    continue
                job.answers += own
                if len(job.answers) == len(job.examples):
                    finished.setdefault(id(job), (job, None))
        by_loop: dict[Any, list[tuple[Job, Exception | None]]] = {}
        for job, problem in finished.values():
            if problem is not None:
                job.cancelled = True
            by_loop.setdefault(job.loop, []).append((job, problem))
        for loop, jobs in by_loop.items():
            try:
                loop.call_soon_threadsafe(_hand_out, jobs)
            except RuntimeError:  # The loop is closed: nobody waits any more.
                continue

    def _alone(self, job: Job, first: int, last: int) -> list[Any] | Exception:
        try:
            (found,) = self._compute([(job.model, list(job.examples[first:last]))])
        except Exception as error:
            return error
        return found


def _ignore(inputs: int) -> None:
    """Nobody counts the inputs of waves."""


def _hand_out(jobs: list[tuple[Job, Exception | None]]) -> None:
    for job, problem in jobs:
        if job.future.done():
            continue
        if problem is None:
            job.future.set_result(job.answers)
        else:
            job.future.set_exception(problem)


def _explained(error: Exception) -> Exception:
    """What a client is told of an exception: not its words, which may hold texts."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, UserError):
        return RequestError(422, "Validation", without_folders(str(error)))
    _LOG.error("a model failed: %s at %s", type(error).__name__, _place(error))
    return RequestError(500, "Backend", f"the model failed ({type(error).__name__})")


def _place(error: BaseException) -> str:
    trace, where = error.__traceback__, "an unknown place"
    while trace is not None:
        where = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{where}, {time.strftime('%H:%M:%S')}"
