"""Runs independent work on the threads of a CPU, each with a copy of the model's modules.

An operation that is split over the cores leaves some of them idle at its beginning and end, and one
that is not split uses a single core. Independent micro-batches can instead run one on each thread,
without splitting operations. The copies share the weights.
"""

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import chain
from typing import TypeVar

import torch
from torch import nn

__all__ = ["copies_of", "run_all"]

Item = TypeVar("Item")


def copies_of(model: nn.Module, count: int) -> list[nn.Module]:
    """The model and `count` - 1 copies of its modules, which share its tensors.

    A forward pass may set values on a module, such as the frequencies of a rotary embedding for the
    length of the texts. In a copy it sets only the copy's.
    """
    tensors = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return [model, *(copy.deepcopy(model, dict(tensors)) for _ in range(count - 1))]


def run_all(
    work: Callable[[Iterator[Item], int], None], items: Sequence[Item], workers: int
) -> None:
    """Distributes items over threads.

    Args:
        work: Called once in each thread, with an iterator of items and the number of the worker.
            Each item goes to one worker, in order; the iterators end once a worker has failed.
        items: The items.
        workers: Number of threads, among which PyTorch's own threads are divided. With one, the
            calling thread does everything.

    Raises:
        Exception: The exception of the first worker that failed.
    """
    if workers == 1:
        work(iter(items), 0)
        return
    remaining, lock, stopped = iter(items), threading.Lock(), threading.Event()

    def hand_out() -> Iterator[Item]:
        while not stopped.is_set():
            with lock:
                try:
                    item = next(remaining)
                except StopIteration:
                    return
            yield item

    with _threads_of(workers) as pool:
        done = [pool.submit(work, hand_out(), number) for number in range(workers)]
        try:
            finished, _ = wait(done, return_when=FIRST_EXCEPTION)
        finally:
            stopped.set()
        for future in (*finished, *done):
            future.result()


@contextmanager
def _threads_of(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads divide PyTorch's threads; afterwards their number is as before."""
    before = torch.get_num_threads()
    each = max(1, before // workers)
    try:
        with ThreadPoolExecutor(
            workers, initializer=torch.set_num_threads, initargs=(each,)
        ) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)
