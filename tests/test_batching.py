"""Which examples make a step, and how a step is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowcost_ft.data.batching import cut_step, padded_tokens, plan_epoch, share_step

LENGTHS = np.random.default_rng(0).integers(3, 120, size=1000)


@pytest.mark.parametrize("group_by_length", [True, False])
def test_an_epoch_holds_each_example_once(group_by_length):
    steps = plan_epoch(LENGTHS, batch_size=16, seed=0, epoch=0, group_by_length=group_by_length)
    assert sorted(np.concatenate(steps)) == list(range(1000))
    assert [len(step) for step in steps] == [16] * 62 + [8]


def test_the_order_depends_on_seed_and_epoch_alone():
    def plan(seed, epoch):
        return np.concatenate(plan_epoch(LENGTHS, batch_size=16, seed=seed, epoch=epoch))

    assert (plan(0, 1) == plan(0, 1)).all()
    assert (plan(0, 0) != plan(0, 1)).any()
    assert (plan(0, 0) != plan(1, 0)).any()


def test_grouping_by_length_leaves_little_padding():
    def share(group_by_length):
        steps = plan_epoch(LENGTHS, batch_size=16, seed=0, epoch=0, group_by_length=group_by_length)
        padded = sum(
            padded_tokens(cut_step(step, LENGTHS, micro_batch_tokens=4096), LENGTHS)
            for step in steps
        )
        return 1 - LENGTHS.sum() / padded

    assert share(True) < 0.05 < 0.3 < share(False)


@pytest.mark.parametrize("batch_size", [16, 32])
def test_short_texts_in_large_numbers_have_little_padding(batch_size):
    lengths = np.random.default_rng(0).geometric(1 / 12, size=10_000) + 4
    steps = plan_epoch(lengths, batch_size=batch_size, seed=0, epoch=0)
    padded = sum(len(step) * lengths[step].max() for step in steps)
    assert 1 - lengths.sum() / padded < 0.05


def test_grouped_steps_do_not_come_in_the_order_of_their_length():
    steps = plan_epoch(LENGTHS, batch_size=16, seed=0, epoch=0)
    means = np.array([LENGTHS[step].mean() for step in steps[:-1]])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.4


@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=60),
    tokens=st.integers(1, 500),
)
def test_a_token_budget_is_kept_unless_one_row_alone_exceeds_it(lengths, tokens):
    lengths = np.array(lengths)
    rows = np.arange(len(lengths))
    micro_batches = cut_step(rows, lengths, micro_batch_tokens=tokens)
    assert sorted(np.concatenate(micro_batches)) == list(rows)
    for micro_batch in micro_batches:
        size = len(micro_batch) * lengths[micro_batch].max()
        assert size <= tokens or len(micro_batch) == 1
    widths = [lengths[m].max() for m in micro_batches]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("count", [1, 2, 4, 16])
def test_a_step_is_cut_into_exactly_so_many_micro_batches(count):
    micro_batches = cut_step(np.arange(16), LENGTHS, num_micro_batches=count)
    assert len(micro_batches) == count
    assert sorted(np.concatenate(micro_batches)) == list(range(16))


def test_one_of_two_limits_is_needed():
    with pytest.raises(ValueError, match="one of them"):
        cut_step(np.arange(4), LENGTHS)
    with pytest.raises(ValueError, match="one of them"):
        cut_step(np.arange(4), LENGTHS, micro_batch_tokens=8, num_micro_batches=2)


@pytest.mark.parametrize("rows", [1, 2, 5, 16])
def test_processes_share_a_step_and_all_take_part(rows):
    shares = share_step(np.arange(rows), LENGTHS, num_processes=4, micro_batch_tokens=150)
    assert len({len(share) for share in shares}) == 1
    dealt = [row for share in shares for micro_batch in share for row in micro_batch]
    assert sorted(dealt) == list(range(rows))
