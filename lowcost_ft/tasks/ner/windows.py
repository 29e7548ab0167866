"""Sentences in windows: which sub-word carries the label of a word, and which window shows it."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowcost_ft.data.features import IGNORED_LABEL, Array, Features, cut_windows, flatten
from lowcost_ft.tasks.base import ENCODED_AT_ONCE
from lowcost_ft.tasks.ner.word_pieces import Pieces, is_learned, spread_tags

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["SCHEMA", "special_tokens", "window_tokens", "windowed_features"]

SCHEMA = {
    # The label of a token, `IGNORED_LABEL` where there is none.
    "token_labels": Array("token", fill=IGNORED_LABEL),
    # The word (counted over all examples) whose prediction is read at a token, -1 elsewhere.
    "words": Array("token", fill=-1),
    # Whether a row begins its sentence.
    "first_windows": Array("row"),
    # The first word of each example, `(num_examples + 1,)`.
    "word_starts": Array("split"),
}
"""What the arrays hold that are made beside the tokens."""


def windowed_features(
    cut: Sequence[Pieces],
    given_tags: Sequence[Sequence[str] | None],
    tokenizer: PreTrainedTokenizerBase,
    *,
    label_ids: Mapping[str, int],
    causal: bool,
    max_length: int,
    overlap: int | None,
) -> Features:
    """Tokenizes the pieces of words and cuts long sentences into windows.

    Each piece's label and prediction belong to one window: the one that shows most context around
    it. No piece is counted twice, and none is left out but those that the tokenizer turns into
    nothing, which are `O`.

    Args:
        cut: What the model sees of each sentence.
        given_tags: The tags of its words; None without labels.
        tokenizer: The model's.
        label_ids: Place of each tag among the logits.
        causal: Whether the model is a decoder.
        max_length: Most tokens of a window.
        overlap: Tokens that two windows share; None: a quarter of `max_length`.
    """
    prefix, suffix, size, overlap = _frame(tokenizer, max_length, overlap)
    word_starts = np.zeros(len(cut) + 1, np.int64)
    np.cumsum([len(pieces.texts) for pieces in cut], out=word_starts[1:])
    rows: list[list[int]] = []
    row_labels: list[list[int]] = []
    row_words: list[list[int]] = []
    owners: list[int] = []
    first_windows: list[bool] = []
    for number, (ids, word_ids) in enumerate(_encode(cut, tokenizer)):
        first_word = int(word_starts[number])
        given = given_tags[number]
        tags = None if given is None else spread_tags(given, cut[number].words)
        learned = [] if given is None else is_learned(given, cut[number].words)
        positions = _label_positions(word_ids, last=causal)
        windows = cut_windows(len(ids), size, overlap)
        window_of = _best_windows(positions, windows, causal=causal)
        owned: dict[int, list[int]] = defaultdict(list)
        for word, window in window_of.items():
            owned[window].append(word)
        for index, (start, end) in enumerate(windows):
            labels = [IGNORED_LABEL] * (end - start)
            words = [-1] * (end - start)
            for word in owned[index]:
                place = positions[word] - start
                words[place] = first_word + word
                if tags is not None and learned[word]:
                    # A type that the model does not know has no part in the loss.
                    labels[place] = label_ids.get(tags[word], IGNORED_LABEL)
            before, after = len(prefix), len(suffix)
            if before + end - start + after == 0:
                # Words that are nothing to a tokenizer without special tokens.
                after, row = 1, [tokenizer.pad_token_id]
            else:
                row = [*prefix, *ids[start:end], *suffix]
            rows.append(row)
            row_labels.append([IGNORED_LABEL] * before + labels + [IGNORED_LABEL] * after)
            row_words.append([-1] * before + words + [-1] * after)
            owners.append(number)
            first_windows.append(index == 0)
    input_ids, starts = flatten(rows)
    token_labels, _ = flatten(row_labels)
    with_types = "token_type_ids" in tokenizer.model_input_names
    return Features(
        input_ids=input_ids,
        starts=starts,
        examples=np.array(owners, np.int64),
        num_examples=len(cut),
        weights=np.add.reduceat(token_labels != IGNORED_LABEL, starts[:-1], dtype=np.float64),
        token_type_ids=np.zeros_like(input_ids) if with_types else None,
        arrays={
            "token_labels": token_labels,
            "words": flatten(row_words, np.int64)[0],
            "first_windows": np.array(first_windows, bool),
            "word_starts": word_starts,
        },
        schema=SCHEMA,
    )


def _frame(
    tokenizer: PreTrainedTokenizerBase, max_length: int, overlap: int | None
) -> tuple[list[int], list[int], int, int]:
    """What stands around each window, how many tokens it holds, and how many two share."""
    prefix, suffix = special_tokens(tokenizer)
    size = max_length - len(prefix) - len(suffix)
    return prefix, suffix, size, min(max_length // 4 if overlap is None else overlap, size - 1)


def window_tokens(
    pieces: Pieces, tokenizer: PreTrainedTokenizerBase, *, max_length: int, overlap: int | None
) -> Iterator[tuple[int, list[int | None]]]:
    """The windows of one sentence.

    Args:
        pieces: What the model sees of it.
        tokenizer: The model's.
        max_length: Most tokens of a window.
        overlap: As for `windowed_features`.

    Returns:
        Of each window how many special tokens stand in front, and the piece of each token after
        them.
    """
    prefix, _, size, overlap = _frame(tokenizer, max_length, overlap)
    ((ids, word_ids),) = _encode([pieces], tokenizer)
    for start, end in cut_windows(len(ids), size, overlap):
        yield len(prefix), word_ids[start:end]


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before and after one sequence."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    raise ValueError(f"the tokenizer turns 'a' into {full}, which does not contain {bare}")


def _encode(
    sentences: Sequence[Pieces], tokenizer: PreTrainedTokenizerBase
) -> Iterator[tuple[list[int], list[int | None]]]:
    for start in range(0, len(sentences), ENCODED_AT_ONCE):
        chunk = sentences[start : start + ENCODED_AT_ONCE]
        encoded = tokenizer(
            [list(pieces.texts) for pieces in chunk],
            is_split_into_words=True,
            add_special_tokens=False,
            return_attention_mask=False,
            verbose=False,
        )
        for index in range(len(chunk)):
            yield encoded["input_ids"][index], encoded.word_ids(index)


def _label_positions(word_ids: list[int | None], *, last: bool) -> dict[int, int]:
    """Token position at which each piece is labelled: its first or its last sub-word."""
    positions: dict[int, int] = {}
    for position, word in enumerate(word_ids):
        if word is not None and (last or word not in positions):
            positions[word] = position
    return positions


def _best_windows(
    positions: dict[int, int], windows: list[tuple[int, int]], *, causal: bool
) -> dict[int, int]:
    """The window that shows most context around each word.

    For an encoder that is the larger of the smaller sides, for a decoder the left side alone.
    """
    if len(windows) == 1:
        return dict.fromkeys(positions, 0)

    starts, ends = [start for start, _ in windows], [end for _, end in windows]

    def context(position: int, window: int) -> int:
        left, right = position - starts[window], ends[window] - 1 - position
        return left if causal else min(left, right)

    def best(position: int) -> int:
        # The few windows that hold it; a text of a megabyte has thousands.
        around = range(bisect_right(ends, position), bisect_right(starts, position))
        return max(around, key=lambda window: context(position, window))

    return {word: best(position) for word, position in positions.items()}
