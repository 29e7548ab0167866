"""Why a question gets its answer: the answer's two ends as a decision, and words behind tokens."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.tasks.explaining import Decision, Explaining, Place, SeenRow, log_odds
from lowcost_ft.tasks.question_answering.examples import QuestionExample
from lowcost_ft.tasks.question_answering.flags import AskingFlags
from lowcost_ft.tasks.question_answering.spans import IMPOSSIBLE
from lowcost_ft.tasks.question_answering.windows import encode, frame_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from lowcost_ft.data.features import Features

__all__ = ["QuestionExplaining"]


class QuestionExplaining(Explaining):
    """The part of the task that explains: one decision a question."""

    can_explain: ClassVar[bool] = True
    explain_flags: ClassVar[type | None] = AskingFlags

    def seen_rows(
        self,
        example: QuestionExample,
        features: Features,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
    ) -> list[SeenRow]:
        """The question and its text, of which each window holds a part."""
        task: Any = self
        frame = frame_of(tokenizer, null_at_end=task.causal)
        asked = example.question + ("\n" if task.causal else "")
        (question,) = encode([asked], tokenizer)
        own = question.offsets[: (max_length - frame.size) // 2]
        texts = {"question": example.question, "context": example.context}
        rows = []
        for row, length in enumerate(map(int, features.lengths)):
            first = int(features.starts[row])
            places: list[Place | None] = [None] * length
            for place, (start, end) in enumerate(own, len(frame.before)):
                end = min(end, len(example.question))
                places[place] = (0, start, end) if start < end else None
            for place in map(
                int, np.flatnonzero(features["context_tokens"][first : first + length])
            ):
                start = int(features["char_starts"][first + place])
                end = int(features["char_ends"][first + place])
                while start < end and example.context[start].isspace():
                    start += 1
                places[place] = (1, start, end) if start < end else None
            rows.append(SeenRow(texts=texts, places=places))
        return rows

    def decisions(
        self, example: QuestionExample, features: Features, predictions: dict[str, np.ndarray]
    ) -> list[Decision]:
        """The answer, in the window that gives it the highest score; or that there is none."""
        task: Any = self
        (told,) = task.answer([example], predictions)
        told = {name: told[name] for name in ("answer", "start", "end", "score")}
        if told["answer"]:
            row, first, last = self._answer_tokens(example, features, predictions, told)
        else:
            row = int(predictions["null"].argmin())
            first = last = int(features["null"][row])
        tokens = slice(int(features.starts[row]), int(features.starts[row + 1]))
        possible = features["context_tokens"][tokens] != 0
        possible[int(features["null"][row])] = True
        value = partial(_mean_log_odds, first=first, last=last, possible=possible)
        return [Decision(row=row, told=told, value=value)]

    @staticmethod
    def _answer_tokens(
        example: QuestionExample,
        features: Features,
        predictions: dict[str, np.ndarray],
        told: dict[str, Any],
    ) -> tuple[int, int, int]:
        """The window of an answer, and its first and last token there."""
        best = (float("-inf"), 0, 0, 0)
        for row, spans in enumerate(
            zip(predictions["start"], predictions["end"], predictions["score"], strict=True)
        ):
            tokens = slice(int(features.starts[row]), int(features.starts[row + 1]))
            inside = features["context_tokens"][tokens] != 0
            for start, end, score in zip(*spans, strict=True):
                # Tokens may hold blanks, which an answer does not begin or end with.
                if example.context[start:end].strip() != told["answer"] or score <= IMPOSSIBLE / 2:
                    continue
                if not (start <= told["start"] and told["end"] <= end) or score <= best[0]:
                    continue
                first = np.flatnonzero(inside & (features["char_starts"][tokens] == start))
                last = np.flatnonzero(inside & (features["char_ends"][tokens] == end))
                if len(first) and len(last):
                    best = (float(score), row, int(first[0]), int(last[-1]))
        return best[1:]


def _mean_log_odds(
    outputs: dict[str, torch.Tensor], *, first: int, last: int, possible: np.ndarray
) -> torch.Tensor:
    """The mean of the log-odds of first and last token among the possible ones, `(copies,)`."""
    import torch

    hidden = ~torch.from_numpy(possible).to(outputs["first"].device)
    ends = [
        log_odds(outputs[name].masked_fill(hidden, IMPOSSIBLE), token)
        for name, token in (("first", first), ("last", last))
    ]
    return (ends[0] + ends[1]) / 2
