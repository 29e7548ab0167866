"""Why a part of a text is an entity: its tags as a decision, and the words behind tokens."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.tasks.explaining import Decision, Explaining, Place, SeenRow, log_odds
from lowcost_ft.tasks.ner.example import NerExample
from lowcost_ft.tasks.ner.tagging import tags_to_spans
from lowcost_ft.tasks.ner.windows import window_tokens
from lowcost_ft.tasks.ner.word_pieces import Pieces, joined_words
from lowcost_ft.tasks.ner.word_splitting import split_words

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from lowcost_ft.data.features import Features

__all__ = ["NerExplaining"]


class NerExplaining(Explaining):
    """The part of the task that explains: one decision an entity."""

    can_explain: ClassVar[bool] = True
    word_splitting: str

    def seen_rows(
        self,
        example: NerExample,
        features: Features,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
    ) -> list[SeenRow]:
        """The sentence, the same one for each window; words that came as such joined by blanks."""
        task: Any = self
        text, of_piece = _piece_places(example, task.pieces(example), self.word_splitting)
        tokens = window_tokens(
            task.pieces(example),
            tokenizer,
            max_length=max_length,
            overlap=task.window_overlap,
        )
        rows = []
        for row, (before, word_ids) in enumerate(tokens):
            places: list[Place | None] = [None] * int(features.lengths[row])
            for place, word in enumerate(word_ids, before):
                places[place] = None if word is None else (0, *of_piece[word])
            rows.append(SeenRow(texts={"text": text}, places=places))
        return rows

    def decisions(
        self, example: NerExample, features: Features, predictions: dict[str, np.ndarray]
    ) -> list[Decision]:
        """The entities of the answer; of each the tags of all pieces that one window holds."""
        task: Any = self
        pieces: Pieces = task.pieces(example)
        tags: Sequence[str] = task.tags([example], predictions)[0]
        (answer,) = task.answer([example], predictions)
        words, row_of = features["words"], np.repeat(
            np.arange(len(features.lengths)), features.lengths
        )  # fmt: skip
        found = []
        for told, (start, end, _) in zip(answer["entities"], tags_to_spans(tags), strict=True):
            first, last = (bisect_left(pieces.words, word) for word in (start, end))
            at = np.flatnonzero((words >= first) & (words < last))  # Tokens over all windows.
            row = int(np.bincount(row_of[at]).argmax())
            at = at[row_of[at] == row]
            value = partial(
                _mean_log_odds,
                tokens=(at - features.starts[row]).tolist(),
                tags=predictions["label"][words[at]].tolist(),
            )
            found.append(Decision(row=row, told=told, value=value))
        return found


def _mean_log_odds(
    logits: torch.Tensor, *, tokens: Sequence[int], tags: Sequence[int]
) -> torch.Tensor:
    """The mean over an entity's pieces of the log-odds of their tags, `(copies,)`."""
    import torch

    chosen = torch.tensor(tags, device=logits.device)
    return log_odds(logits[:, list(tokens)], chosen).mean(1)


def _piece_places(
    example: NerExample, pieces: Pieces, rule: str
) -> tuple[str, list[tuple[int, int]]]:
    """The text, and the characters of each piece."""
    if example.text is not None and example.offsets is not None:
        return example.text, [example.offsets[word] for word in pieces.words]
    text, offsets = joined_words(example.words)
    places, word_before = [], -1
    cut: list[tuple[int, int]] = []
    for word in pieces.words:
        if word != word_before:
            whole = pieces.words.count(word) == 1
            cut = [] if whole else split_words(example.words[word], rule)
            word_before = word
        start = offsets[word][0]
        places.append((start + cut[0][0], start + cut.pop(0)[1]) if cut else offsets[word])
    return text, places
