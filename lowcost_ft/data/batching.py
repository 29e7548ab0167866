"""Which examples make an optimizer step, and how memory cuts that step into micro-batches."""

from collections.abc import Sequence

import numpy as np

__all__ = [
    "MicroBatch",
    "cut_step",
    "inference_tokens",
    "like_lengths",
    "padded_tokens",
    "plan_epoch",
    "share_step",
]

GROUPED_STEPS = 50
MOST_POOLS = 5
"""Optimizer steps whose examples are sorted by length together: so many, or as many as make so many
pools of an epoch if that is more. Enough to bring padding to a few per cent; and each pool is a
random sample of the data."""

CPU_INFERENCE_TOKENS = 1024
"""Padded tokens that a CPU predicts at once, where more are allowed: what a layer hands on stays in
its caches. MiniLM on 2 cores predicts about a tenth faster than with micro-batches of 4,096."""

PART_TOKENS = 32
"""What one more pass through a model is taken to cost on a CPU beside its tokens, in tokens. It is
a guess and was not measured."""

MicroBatch = np.ndarray
"""Row indices, `(rows,)`, longest first; empty where a process only keeps the others company."""


def plan_epoch(
    lengths: np.ndarray, *, batch_size: int, seed: int, epoch: int, group_by_length: bool = True
) -> list[np.ndarray]:
    """Deals every example of an epoch into optimizer steps.

    Args:
        lengths: Tokens of each example, `(examples,)`.
        batch_size: Examples a step; the last step of the epoch may have fewer.
        seed: With `epoch`, decides the order; the same on every machine.
        epoch: Number of the epoch.
        group_by_length: Sort shuffled pools of at least `GROUPED_STEPS` steps by length before they
            are dealt, then shuffle the steps. Each example still comes once an epoch.

    Returns:
        Example indices of each step.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    if group_by_length:
        pool = batch_size * max(GROUPED_STEPS, -(-len(order) // (batch_size * MOST_POOLS)))
        pools = [order[i : i + pool] for i in range(0, len(order), pool)]
        order = np.concatenate([p[np.argsort(lengths[p], kind="stable")] for p in pools])
    steps = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    if group_by_length:
        # The short step stays last, so that every epoch has the same number of full steps first.
        full = len(order) // batch_size
        steps = [steps[i] for i in random.permutation(full)] + steps[full:]
    return steps


def cut_step(
    rows: np.ndarray,
    lengths: np.ndarray,
    *,
    micro_batch_tokens: int | None = None,
    num_micro_batches: int | None = None,
) -> list[MicroBatch]:
    """Cuts the rows of a step into micro-batches of similar length, the longest first.

    Args:
        rows: Row indices of the step, `(rows,)`.
        lengths: Tokens of every row of the data, indexed by `rows`.
        micro_batch_tokens: Padded tokens that a micro-batch may hold. A single row that is longer
            makes a micro-batch of its own.
        num_micro_batches: Instead: so many micro-batches (fewer where there are fewer rows).

    Raises:
        ValueError: Unless exactly one of the two limits is given.
    """
    if (micro_batch_tokens is None) == (num_micro_batches is None):
        raise ValueError("give micro_batch_tokens or num_micro_batches, one of them")
    ordered = rows[np.argsort(-lengths[rows], kind="stable")]
    if num_micro_batches is not None:
        pieces = np.array_split(ordered, num_micro_batches)
        return [piece for piece in pieces if len(piece)]
    assert micro_batch_tokens is not None
    micro_batches = []
    start = 0
    while start < len(ordered):
        # The first row is the longest one, so it alone decides the padded width.
        size = max(1, micro_batch_tokens // max(1, int(lengths[ordered[start]])))
        micro_batches.append(ordered[start : start + size])
        start += size
    return micro_batches


def like_lengths(lengths: np.ndarray, *, a_part: int = PART_TOKENS) -> list[np.ndarray]:
    """Cuts lines into parts of like length, so that the parts together cost least.

    Args:
        lengths: Tokens of each line, `(lines,)`.
        a_part: What a part costs beside its padded tokens, in tokens.

    Returns:
        Numbers of the lines of each part, the longest lines first.
    """
    order = np.argsort(-lengths, kind="stable")
    ordered = lengths[order]
    # The least cost of the lines from each place to the end, and where the first part ends.
    costs, ends = np.zeros(len(order) + 1), np.zeros(len(order), np.int64)
    for start in range(len(order) - 1, -1, -1):
        sizes = np.arange(1, len(order) - start + 1)
        found = ordered[start] * sizes + a_part + costs[start + 1 :]
        ends[start] = start + 1 + found.argmin()
        costs[start] = found.min()
    parts, start = [], 0
    while start < len(order):
        parts.append(order[start : ends[start]])
        start = int(ends[start])
    return parts


def inference_tokens(micro_batch_tokens: int, device: str) -> int:
    """Padded tokens of a micro-batch without a backward pass, on a device of this type."""
    return min(micro_batch_tokens, CPU_INFERENCE_TOKENS) if device == "cpu" else micro_batch_tokens


def share_step(
    rows: np.ndarray,
    lengths: np.ndarray,
    *,
    num_processes: int = 1,
    micro_batch_tokens: int | None = None,
    num_micro_batches: int | None = None,
) -> list[list[MicroBatch]]:
    """Deals a step's rows to the processes and cuts each share.

    Every process gets the same number of micro-batches, since sharded models must run forward
    together: where one has fewer rows, empty micro-batches fill up.

    Returns:
        For each process its micro-batches.
    """
    ordered = rows[np.argsort(-lengths[rows], kind="stable")]
    shares = [
        cut_step(
            ordered[process::num_processes],
            lengths,
            micro_batch_tokens=micro_batch_tokens,
            num_micro_batches=num_micro_batches,
        )
        for process in range(num_processes)
    ]
    most = max(len(share) for share in shares)
    empty = np.empty(0, rows.dtype)
    return [share + [empty] * (most - len(share)) for share in shares]


def padded_tokens(micro_batches: Sequence[MicroBatch], lengths: np.ndarray) -> int:
    """Tokens of the micro-batches, padding included."""
    return sum(len(rows) * int(lengths[rows].max()) for rows in micro_batches if len(rows))
