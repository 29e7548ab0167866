"""Texts as tokens, and their labels as the loss compares them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowcost_ft.config.arguments import to_list
from lowcost_ft.data.features import IGNORED_LABEL, Array, Features, flatten
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import ENCODED_AT_ONCE
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.classification.prompts import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["balanced_class_weights", "label_array", "label_tuple", "text_features"]


def text_features(
    examples: Sequence[TextExample],
    labels: np.ndarray | None,
    tokenizer: PreTrainedTokenizerBase,
    *,
    class_weights: np.ndarray | None,
    max_length: int,
    schema: dict[str, Array],
    prompt: Prompt | None = None,
) -> Features:
    """Tokenizes texts; what is longer than `max_length` loses its end, and is counted.

    Args:
        examples: The texts, or pairs of texts.
        labels: What `label_array` made of their labels.
        tokenizer: The model's.
        class_weights: Weight of each class in the loss, `(labels,)`; None: one.
        max_length: Most tokens of a text.
        schema: What the arrays hold.
        prompt: What stands around the texts, and stays whole.
    """
    rows: list[list[int]] = []
    types: list[list[int]] = []
    truncated = 0
    with_types = "token_type_ids" in tokenizer.model_input_names
    for start in range(0, len(examples), ENCODED_AT_ONCE):
        chunk = examples[start : start + ENCODED_AT_ONCE]
        texts: list[str] = [example.text for example in chunk]
        pairs = [example.text_pair for example in chunk]
        if prompt is not None:
            filled = prompt.fill_all(chunk, tokenizer, max_length=max_length)
            texts, pairs = [one.text for one in filled], [None] * len(chunk)
            truncated += sum(one.cut for one in filled)
        encoded = tokenizer(
            texts,
            pairs if pairs[0] is not None else None,
            add_special_tokens=prompt is None,  # A prompt holds those that it begins with.
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=with_types,
        )
        # A text of characters that are nothing to the tokenizer still needs a token.
        rows += [ids or [tokenizer.pad_token_id] for ids in encoded["input_ids"]]
        types += [ids or [0] for ids in encoded["token_type_ids"]] if with_types else []
        truncated += sum(bool(encoding.overflowing) for encoding in encoded.encodings)
    input_ids, starts = flatten(rows)
    weights = np.ones(len(rows))
    if labels is not None and labels.dtype == np.int64:
        known = labels != IGNORED_LABEL
        if class_weights is not None:
            weights = class_weights.astype(np.float64)[np.where(known, labels, 0)]
        weights = np.where(known, weights, 0.0)
    return Features(
        input_ids=input_ids,
        starts=starts,
        examples=np.arange(len(rows), dtype=np.int64),
        num_examples=len(rows),
        weights=weights,
        token_type_ids=flatten(types)[0] if with_types else None,
        arrays={} if labels is None else {"labels": labels},
        schema=schema,
        truncated=truncated,
    )


def label_array(
    examples: Sequence[TextExample], label_ids: Mapping[str, int], problem_type: str | None
) -> np.ndarray | None:
    """What the loss compares with; labels that the model does not know are left out of it.

    Args:
        examples: The texts; None is returned where none has a label.
        label_ids: Place of each label among the logits.
        problem_type: What is predicted.

    Raises:
        UserError: Some have none, and the loss cannot leave them out.
    """
    unlabelled = sum(example.label is None for example in examples)
    if unlabelled == len(examples):
        return None
    if unlabelled and problem_type != "single_label_classification":
        raise UserError(
            f"{unlabelled:,} texts have no label, and {len(examples) - unlabelled:,} have one: the "
            "loss of this problem needs all of them labelled; leave --unlabelled-file out"
        )
    if problem_type == "regression":
        return np.array([example.label for example in examples], np.float32)
    if problem_type == "single_label_classification":
        ids = [
            IGNORED_LABEL if e.label is None else label_ids.get(str(e.label), IGNORED_LABEL)
            for e in examples
        ]
        return np.array(ids, np.int64)
    labels = np.zeros((len(examples), len(label_ids)), np.float32)
    for row, example in enumerate(examples):
        for label in label_tuple(example):
            if label in label_ids:
                labels[row, label_ids[label]] = 1.0
    return labels


def balanced_class_weights(
    examples: Sequence[TextExample], labels: list[str], *, problem_type: str | None
) -> list[float]:
    """Weights that give each class the same say in the loss.

    Single-label: `n / (classes * n_class)` (scikit-learn's `balanced`). Multi-label: negatives
    over positives, for PyTorch's `pos_weight`.
    """
    examples = to_list(examples, "examples", of="examples")
    labels = to_list(labels, "labels", of="label names")
    counts = Counter(label for example in examples for label in label_tuple(example))
    if problem_type == "multi_label_classification":
        # A label that every row has needs no weighing up; a weight of 0 would unlearn it.
        return [max(len(examples) - counts[label], 1) / counts[label] for label in labels]
    return [len(examples) / (len(labels) * counts[label]) for label in labels]


def label_tuple(example: TextExample) -> tuple[str, ...]:
    """The labels of an example."""
    label = example.label
    return tuple(map(str, label)) if isinstance(label, tuple) else (str(label),)
