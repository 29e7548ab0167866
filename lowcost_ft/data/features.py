"""Tokenized examples, flat in memory, and their collation into padded tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from lowcost_ft.data.batching import like_lengths

if TYPE_CHECKING:
    import torch

__all__ = ["IGNORED_LABEL", "Array", "Features", "collate", "cut_windows", "flatten"]
__all__ += ["model_inputs"]

IGNORED_LABEL = -100
"""Label of positions that the loss leaves out: PyTorch's default `ignore_index`."""


@dataclass(frozen=True, slots=True)
class Array:
    """What an array that belongs to a task holds: the schema by which it is collated.

    Attributes:
        per: "token": one number a token, flat as the token ids are; "row": one entry a row;
            "split": whatever else a split needs, which stays out of micro-batches.
        fill: What stands at padding, for an array of tokens.
        to_model: Whether the model's own forward pass takes it.
    """

    per: Literal["token", "row", "split"]
    fill: int = 0
    to_model: bool = False


@dataclass(frozen=True, kw_only=True)
class Features:
    """Rows of token ids, one after the other. A row is an example, or one window of a long one.

    Attributes:
        input_ids: int32, `(total_tokens,)`, special tokens included.
        starts: int64, `(rows + 1,)`: row `i` is `input_ids[starts[i]:starts[i + 1]]`.
        examples: int64, `(rows,)`: the example that a row belongs to, ascending.
        num_examples: Examples in all, also those without a row.
        weights: float64, `(rows,)`: a row's share of the step's denominator, such as its number
            of labels.
        token_type_ids: int32, `(total_tokens,)`, for models that take them.
        arrays: What the task's loss and predictions need besides, by name.
        schema: What each of them holds.
        truncated: Examples that lost tokens to the maximum length.
        parts: int64, `(rows, texts)`: the tokens of each text of a row that holds several, one
            after the other. A micro-batch has a line for each of them; None: a row is one text.
        members: int64, of the same shape: the number of each in the data that was read.
        apart: Whether the lines of a micro-batch run in parts of like length: texts that must be in
            one micro-batch may differ much.
    """

    input_ids: np.ndarray
    starts: np.ndarray
    examples: np.ndarray
    num_examples: int
    weights: np.ndarray
    token_type_ids: np.ndarray | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    schema: Mapping[str, Array] = field(default_factory=dict)
    truncated: int = 0
    parts: np.ndarray | None = None
    members: np.ndarray | None = None
    apart: bool = False

    def __getitem__(self, name: str) -> np.ndarray:
        """An array of the task, by its name."""
        return self.arrays[name]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, `(rows,)`."""
        return np.diff(self.starts)

    @cached_property
    def widths(self) -> np.ndarray:
        """Tokens that each row takes beside equal ones, `(rows,)`: padding between its texts."""
        if self.parts is None:
            return self.lengths
        widths: np.ndarray = self.parts.max(1) * self.parts.shape[1]
        return widths

    def read_examples(self, example: int) -> list[int]:
        """Numbers, in the data that was read, of what an example consists of."""
        return [example] if self.members is None else [int(n) for n in self.members[example]]

    def lines(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the lines of a micro-batch of these rows start, and how long they are."""
        starts, lengths = self.starts[rows], self.lengths[rows]
        if self.parts is None:
            return starts, lengths
        parts = self.parts[rows]  # (B, texts)
        return (starts[:, None] + parts.cumsum(1) - parts).ravel(), parts.ravel()

    def passes(self, rows: np.ndarray) -> list[np.ndarray]:
        """The lines of a micro-batch of these rows that run through the model together."""
        lengths = self.lines(rows)[1]
        return like_lengths(lengths) if self.apart else [np.arange(len(lengths))]

    def padded_tokens(self, micro_batches: Sequence[np.ndarray]) -> int:
        """Tokens of the micro-batches, padding included."""
        shapes = [self.shapes(rows) for rows in micro_batches if len(rows)]
        return sum(lines * length for passes in shapes for lines, length in passes)

    def shapes(self, rows: np.ndarray) -> list[tuple[int, int]]:
        """Lines and padded length of each pass of a micro-batch of these rows."""
        if not self.apart:
            widths = self.widths[rows]
            return [(len(rows), int(widths.max()))]
        lengths = self.lines(rows)[1]
        return [(len(part), int(lengths[part].max())) for part in self.passes(rows)]

    def line_numbers(self, rows: np.ndarray) -> np.ndarray:
        """A number for each line of a micro-batch of these rows, which no other line has."""
        texts = 1 if self.parts is None else self.parts.shape[1]
        return (rows[:, None] * texts + np.arange(texts)).ravel()

    @cached_property
    def example_rows(self) -> np.ndarray:
        """`(num_examples + 1,)`: example `i` owns rows `example_rows[i]` to `[i + 1]`."""
        return np.searchsorted(self.examples, np.arange(self.num_examples + 1))

    def rows_of(self, examples: np.ndarray) -> np.ndarray:
        """All rows of the given examples."""
        bounds = self.example_rows
        return np.concatenate(
            [np.arange(bounds[i], bounds[i + 1]) for i in examples] or [np.empty(0, np.int64)]
        )


def flatten(rows: list[list[int]], dtype: type = np.int32) -> tuple[np.ndarray, np.ndarray]:
    """Joins lists of numbers into one array and the positions at which each starts."""
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    flat: np.ndarray = np.fromiter(
        (value for row in rows for value in row), dtype, count=int(starts[-1])
    )
    return flat, starts


def cut_windows(num_tokens: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Cuts a sequence into overlapping windows that cover it.

    Args:
        num_tokens: Tokens of the sequence.
        size: Most tokens a window may hold.
        overlap: Tokens that neighbouring windows share; less than `size`.

    Returns:
        `(start, end)` of each window; the last one is as long as the others, so that its first
        tokens have context too.

    Raises:
        ValueError: If `overlap` is not smaller than `size`.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"overlap {overlap} must be at least 0 and below the window size {size}")
    if num_tokens <= size:
        return [(0, num_tokens)]
    starts = [*range(0, num_tokens - size, size - overlap), num_tokens - size]
    return [(start, start + size) for start in starts]


def collate(
    features: Features,
    rows: np.ndarray,
    *,
    pad_token_id: int,
    pin_memory: bool = False,
    length: int | None = None,
) -> dict[str, torch.Tensor]:
    """Makes a batch of rows, padded at the right to the longest of them.

    Of rows with several texts (`Features.members`), each text is a line of the batch.

    Args:
        features: The tokenized split.
        rows: Numbers of the rows, `(rows,)`.
        pad_token_id: Token that fills up a line.
        pin_memory: Whether the batch is copied to memory from which GPUs copy faster.
        length: Length of the lines in tokens, at least that of the longest; None: the longest.

    Returns:
        `input_ids`, `attention_mask` and, where the features have them, `token_type_ids` and the
        task's arrays of tokens, `(batch, sequence)`, and its arrays of rows, `(rows, ...)`.
    """
    import torch

    starts, lengths = features.lines(rows)
    longest = int(lengths.max()) if length is None else length
    columns = np.arange(longest)
    real = columns < lengths[:, None]  # (B, T)
    source = np.where(real, starts[:, None] + columns, 0)

    def padded(flat: np.ndarray, fill: int) -> torch.Tensor:
        return torch.from_numpy(np.where(real, flat[source], fill).astype(np.int64))

    batch = {
        "input_ids": padded(features.input_ids, pad_token_id),
        "attention_mask": torch.from_numpy(real.astype(np.int64)),
    }
    if features.token_type_ids is not None:
        batch["token_type_ids"] = padded(features.token_type_ids, 0)
    for name, array in features.arrays.items():
        kind = features.schema[name]
        if kind.per == "token":
            batch[name] = padded(array, kind.fill)
        elif kind.per == "row":
            batch[name] = torch.from_numpy(array[rows])
    return {name: value.pin_memory() for name, value in batch.items()} if pin_memory else batch


def model_inputs(batch: dict[str, torch.Tensor], features: Features) -> dict[str, torch.Tensor]:
    """What the model's own forward takes of a collated batch: the loss is ours, so no labels."""
    ours = {name for name, kind in features.schema.items() if not kind.to_model}
    return {name: value for name, value in batch.items() if name not in ours}
