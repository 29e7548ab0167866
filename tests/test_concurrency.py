"""Work on threads: everything once, the first failure ends it, and models that share weights."""

import threading
import time

import pytest
import torch
from torch import nn

from lowcost_ft.pipeline.concurrency import copies_of, run_all


@pytest.fixture(autouse=True)
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_item_comes_once(workers):
    done, places = [], set()

    def work(items, worker):
        for item in items:
            done.append(item)
            places.add((worker, threading.get_ident(), torch.get_num_threads()))
            time.sleep(0.02)

    run_all(work, range(20), workers)
    assert sorted(done) == list(range(20))
    assert {worker for worker, _, _ in places} == set(range(workers))
    assert {count for _, _, count in places} == {4 // workers}
    assert torch.get_num_threads() == 4


def test_a_failure_is_raised_and_ends_the_others():
    done = []

    def work(items, worker):
        for item in items:
            if item == 3:
                raise ValueError("three")
            done.append(item)
            time.sleep(0.01)

    with pytest.raises(ValueError, match="three"):
        run_all(work, range(1000), 2)
    assert len(done) < 20
    assert torch.get_num_threads() == 4


class Remembers(nn.Module):
    """As a rotary embedding does that suits the length."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("frequencies", torch.zeros(3))

    def forward(self, x):
        self.frequencies = x
        return x + self.weight


def test_copies_share_tensors_and_nothing_else():
    model = nn.Sequential(Remembers(), nn.Linear(3, 3))
    one, other = copies_of(model, 2)
    assert one is model
    for mine, theirs in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert mine.data_ptr() == theirs.data_ptr()
    other(torch.ones(3))
    assert one[0].frequencies.eq(0).all()
    assert other[0].frequencies.eq(1).all()
