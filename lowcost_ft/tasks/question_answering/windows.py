"""Questions and their texts -> rows of tokens: a long text is cut into windows that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lowcost_ft.data.features import IGNORED_LABEL, cut_windows
from lowcost_ft.tasks.question_answering.row_answers import Answer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Encoded", "Frame", "Window", "answer_tokens", "encode", "frame_of", "target_of"]
__all__ += ["windows_of"]

Offsets = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text without special tokens.

    Attributes:
        ids: Its tokens.
        offsets: First character and the one after the last, of each.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]


def encode(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
    """Tokenizes texts; equal ones are tokenized once."""
    different = list(dict.fromkeys(texts))
    if not different:
        return []
    found = tokenizer(
        different,
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        return_offsets_mapping=True,
        verbose=False,  # It would warn of texts longer than the model's, which are cut later.
    )
    pairs = zip(found["input_ids"], found["offset_mapping"], strict=True)
    by_text = {t: Encoded(ids, offsets) for t, (ids, offsets) in zip(different, pairs, strict=True)}
    return [by_text[text] for text in texts]


@dataclass(frozen=True, slots=True)
class Frame:
    """The special tokens of a pair, with their types: before, between and after its texts.

    Attributes:
        before, between, after: Tokens and their types.
        first_type, second_type: The type of the tokens of each text.
    """

    before: list[tuple[int, int]]
    between: list[tuple[int, int]]
    after: list[tuple[int, int]]
    first_type: int
    second_type: int

    @property
    def size(self) -> int:
        """How many special tokens there are."""
        return len(self.before) + len(self.between) + len(self.after)


def frame_of(tokenizer: PreTrainedTokenizerBase, *, null_at_end: bool) -> Frame:
    """What a tokenizer puts around a pair of texts.

    Args:
        tokenizer: The model's.
        null_at_end: Add a token at the end, at which a decoder says that there is no answer. An
            encoder says it at the first token.
    """
    encoded = tokenizer("a", "b", return_token_type_ids=True)
    types = encoded.get("token_type_ids") or [0] * len(encoded["input_ids"])
    tokens = list(zip(encoded["input_ids"], types, strict=True))
    owners = encoded.sequence_ids(0)
    places = {part: [i for i, owner in enumerate(owners) if owner == part] for part in (0, 1)}
    first, second = places[0], places[1]
    after = tokens[second[-1] + 1 :]
    if null_at_end:
        end = tokenizer.eos_token_id
        after = [*after, (tokenizer.pad_token_id if end is None else end, types[-1])]
    return Frame(
        before=tokens[: first[0]],
        between=tokens[first[-1] + 1 : second[0]],
        after=after,
        first_type=types[first[0]],
        second_type=types[second[0]],
    )


@dataclass(frozen=True, slots=True)
class Window:
    """One row: a question, and as much of the text as there is room for.

    Attributes:
        ids: All tokens.
        types: Their types.
        start: The first token of the text that it holds.
        end: The one after the last.
        before: Tokens in front of the text.
    """

    ids: list[int]
    types: list[int]
    start: int
    end: int
    before: int


def windows_of(
    question: list[int], context: list[int], frame: Frame, *, size: int, overlap: int
) -> list[Window]:
    """The windows of a text.

    Args:
        question: Tokens of the question, at most half of `size`.
        context: Tokens of the text.
        frame: The special tokens.
        size: Tokens of question and text together in a row.
        overlap: Tokens that neighbouring windows share, as far as there is room.
    """
    room = size - len(question)
    asked = [(token, frame.first_type) for token in question]
    in_front = [*frame.before, *asked, *frame.between]
    found = []
    for start, end in cut_windows(len(context), room, min(overlap, room // 2)):
        text = [(token, frame.second_type) for token in context[start:end]]
        row = [*in_front, *text, *frame.after]
        ids, types = [token for token, _ in row], [kind for _, kind in row]
        found.append(Window(ids, types, start, end, len(in_front)))
    return found


def answer_tokens(answers: Sequence[Answer], offsets: Offsets) -> list[tuple[int, int] | None]:
    """First and last token of each answer; None where its characters are in no token."""
    if not answers or not offsets:
        return [None] * len(answers)
    starts, ends = np.array(offsets, np.int64).T
    found: list[tuple[int, int] | None] = []
    for answer in answers:
        end = answer.start + len(answer.text)
        inside = np.flatnonzero((starts < end) & (ends > answer.start))
        found.append((int(inside[0]), int(inside[-1])) if len(inside) else None)
    return found


def target_of(
    window: Window, answers: Sequence[tuple[int, int] | None], *, null: int
) -> tuple[int, int]:
    """What a window teaches: first and last token of the first answer that it holds whole.

    Args:
        window: The window.
        answers: Tokens of each answer, from `answer_tokens`.
        null: The place in the row that says that there is no answer.

    Returns:
        The places in the row. Both are `null` where no answer stands in the window, and
        `IGNORED_LABEL` where it cuts one, so that neither would be true.
    """
    shift = window.before - window.start
    cut = False
    for tokens in answers:
        if tokens is None:
            cut = True
        elif window.start <= tokens[0] and tokens[1] < window.end:
            return tokens[0] + shift, tokens[1] + shift
        else:
            cut = cut or (tokens[1] >= window.start and tokens[0] < window.end)
    return (IGNORED_LABEL, IGNORED_LABEL) if cut else (null, null)
