"""Flat storage, windows, padding."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowcost_ft.data.features import Array, Features, collate, cut_windows, flatten

ROWS = [[5, 6, 7], [8], [9, 10]]


def make_features(**changes):
    input_ids, starts = flatten(ROWS)
    values = {
        "input_ids": input_ids,
        "starts": starts,
        "examples": np.array([0, 1, 1]),
        "num_examples": 2,
        "weights": np.ones(3),
        "arrays": {"labels": np.array([1, 0, 2])},
        "schema": {"labels": Array("row")},
    }
    return Features(**values | changes)


def test_rows_of_examples():
    features = make_features()
    assert features.lengths.tolist() == [3, 1, 2]
    assert features.rows_of(np.array([1])).tolist() == [1, 2]
    assert features.rows_of(np.array([1, 0])).tolist() == [1, 2, 0]
    assert features.rows_of(np.array([], np.int64)).tolist() == []


def test_right_padding():
    batch = collate(make_features(), np.array([0, 2]), pad_token_id=99)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [9, 10, 99]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [1, 2]
    assert "position_ids" not in batch


def test_labels_of_tokens_and_words_are_padded_with_what_is_ignored():
    features = make_features(
        arrays={
            "token_labels": flatten([[1, -100, 2], [0], [3, 3]])[0],
            "words": flatten([[0, -1, 1], [2], [3, 4]], np.int64)[0],
        },
        schema={
            "token_labels": Array("token", fill=-100),
            "words": Array("token", fill=-1),
        },
        token_type_ids=np.zeros(6, np.int32),
    )
    batch = collate(features, np.array([0, 1]), pad_token_id=0)
    assert batch["token_labels"].tolist() == [[1, -100, 2], [0, -100, -100]]
    assert batch["words"].tolist() == [[0, -1, 1], [2, -1, -1]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0], [0, 0, 0]]


def test_windows_of_a_short_sequence():
    assert cut_windows(0, 10, 3) == [(0, 0)]
    assert cut_windows(10, 10, 3) == [(0, 10)]
    assert cut_windows(11, 10, 3) == [(0, 10), (1, 11)]


@pytest.mark.parametrize("overlap", [-1, 10, 11])
def test_windows_must_move_on(overlap):
    with pytest.raises(ValueError, match="overlap"):
        cut_windows(30, 10, overlap)


@given(num_tokens=st.integers(1, 400), size=st.integers(1, 60), overlap=st.integers(0, 59))
def test_windows_cover_every_token_and_overlap(num_tokens, size, overlap):
    overlap = min(overlap, size - 1)
    windows = cut_windows(num_tokens, size, overlap)
    covered = {token for start, end in windows for token in range(start, end)}
    assert covered == set(range(num_tokens))
    assert all(end - start <= size for start, end in windows)
    for (_, end), (start, _) in pairwise(windows):
        assert end - start >= overlap
