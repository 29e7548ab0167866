"""Questions and texts as rows of tokens, with the place of each answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowcost_ft.data.features import IGNORED_LABEL, Array, Features, flatten
from lowcost_ft.data.rows import counted
from lowcost_ft.tasks.question_answering.examples import QuestionExample
from lowcost_ft.tasks.question_answering.windows import (
    answer_tokens,
    encode,
    frame_of,
    target_of,
    windows_of,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["SCHEMA", "answer_notices", "question_features"]

SCHEMA = {
    # Whether a token belongs to the text, and the characters of it that it stands for.
    "context_tokens": Array("token"),
    "char_starts": Array("token"),
    "char_ends": Array("token"),
    # First and last token of the answer, and the place of no answer; `(rows,)`.
    "first": Array("row"),
    "last": Array("row"),
    "null": Array("row"),
    # The number of the row: what is predicted is kept by row until all windows are there.
    "number": Array("row"),
}
"""What the arrays hold that are made beside the tokens."""


def question_features(
    examples: Sequence[QuestionExample],
    tokenizer: PreTrainedTokenizerBase,
    *,
    causal: bool,
    max_length: int,
    overlap: int | None,
) -> Features:
    """Tokenizes questions with their texts; a long text becomes several rows.

    A question that would leave less than half of a row to its text loses its end, and is counted.

    Args:
        examples: The questions.
        tokenizer: The model's.
        causal: Whether the model is a decoder.
        max_length: Most tokens of a row.
        overlap: Tokens that two rows of a text share; None: a quarter of `max_length`.
    """
    frame = frame_of(tokenizer, null_at_end=causal)
    size = max_length - frame.size
    overlap = max_length // 4 if overlap is None else overlap
    # A decoder's tokenizer puts nothing between two texts.
    line_end = "\n" if causal else ""
    asked = encode([example.question + line_end for example in examples], tokenizer)
    texts = encode([example.context for example in examples], tokenizer)
    columns: dict[str, list[list[int]]] = {
        name: [] for name in ("ids", "types", "context_tokens", "char_starts", "char_ends")
    }
    rows: dict[str, list[int]] = {name: [] for name in ("first", "last", "null", "owner")}
    truncated = 0
    for number, (example, question, text) in enumerate(zip(examples, asked, texts, strict=True)):
        truncated += len(question.ids) > size // 2
        answers = answer_tokens(example.answers or (), text.offsets)
        for window in windows_of(
            question.ids[: size // 2], text.ids, frame, size=size, overlap=overlap
        ):
            null = len(window.ids) - 1 if causal else 0
            first = last = IGNORED_LABEL
            if example.answers is not None:
                first, last = target_of(window, answers, null=null)
            own = text.offsets[window.start : window.end]
            after = len(window.ids) - window.before - len(own)
            for name, values in (
                ("context_tokens", [1] * len(own)),
                ("char_starts", [start for start, _ in own]),
                ("char_ends", [end for _, end in own]),
            ):
                columns[name].append([0] * window.before + values + [0] * after)
            columns["ids"].append(window.ids)
            columns["types"].append(window.types)
            for key, value in (("first", first), ("last", last), ("null", null)):
                rows[key].append(value)
            rows["owner"].append(number)
    input_ids, starts = flatten(columns["ids"])
    first_tokens = np.array(rows["first"], np.int64)
    with_types = "token_type_ids" in tokenizer.model_input_names
    per_token = ("context_tokens", "char_starts", "char_ends")
    return Features(
        input_ids=input_ids,
        starts=starts,
        examples=np.array(rows["owner"], np.int64),
        num_examples=len(examples),
        weights=(first_tokens != IGNORED_LABEL).astype(np.float64),
        token_type_ids=flatten(columns["types"])[0] if with_types else None,
        arrays={
            **{name: flatten(columns[name])[0] for name in per_token},
            "first": first_tokens,
            "last": np.array(rows["last"], np.int64),
            "null": np.array(rows["null"], np.int64),
            "number": np.arange(len(rows["owner"]), dtype=np.int64),
        },
        schema=SCHEMA,
        truncated=truncated,
    )


def answer_notices(
    split: str, examples: Sequence[QuestionExample], features: Features, *, longest: int
) -> list[str]:
    """What to tell of answers that the model cannot learn, or cannot give.

    Args:
        split: The name of the split.
        examples: Its questions.
        features: Their tokens.
        longest: Tokens of the longest answer that is given.
    """
    first, last = features["first"], features["last"]
    whole = (first != IGNORED_LABEL) & (first != features["null"])
    tokens = np.zeros(len(examples), np.int64)
    np.maximum.at(tokens, features.examples[whole], (last - first + 1)[whole])
    answered = np.array([bool(example.answers) for example in examples], bool)
    notices = []
    cut = np.flatnonzero(answered & (tokens == 0))
    if len(cut):
        notices.append(
            f"{split}: no window holds the whole answer of {counted(len(cut), 'question')}, first "
            f"{examples[cut[0]].source}: the model does not learn it (a larger --max-length or "
            f"--window-overlap has room)"
        )
    long = np.flatnonzero(tokens > longest)
    if len(long):
        notices.append(
            f"{split}: the answers of {counted(len(long), 'question')} have more than "
            f"--max-answer-tokens {longest} tokens, up to {tokens.max():,}, first "
            f"{examples[long[0]].source}: the model cannot give them"
        )
    return notices
