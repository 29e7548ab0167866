"""Independent work on the threads of a CPU, each with a model of its own that shares the weights.

An operation that is split over the cores leaves some idle at its beginning and end, and whatever is
not split leaves all but one. Micro-batches that do not depend on each other can run one a thread
instead, each operation whole.
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
    """The model and `count` - 1 copies that share its tensors.

    What a forward pass sets on a module, such as the frequencies of a rotary embedding that suit
    the length, it sets on its own copy.
    """
    tensors = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return [model, *(copy.deepcopy(model, dict(tensors)) for _ in range(count - 1))]


def run_all(
    work: Callable[[Iterator[Item], int], None], items: Sequence[Item], workers: int
) -> None:
    """Shares items out between threads.

    Args:
        work: Called once in each thread, with the items to do and the number of the worker. The
            items are handed out one by one, in their order, each to one worker; there are no more
            once a worker has failed.
        items: What there is to do.
        workers: How many threads. Each computes on its share of PyTorch's own threads. With one,
            the calling thread does all.

    Raises:
        Exception: What the first worker that failed has raised.
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
    """A pool whose threads share PyTorch's between them; afterwards they are as they were."""
    before = torch.get_num_threads()
    each = max(1, before // workers)
    try:
        with ThreadPoolExecutor(
            workers, initializer=torch.set_num_threads, initargs=(each,)
        ) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)
