"""Logits of first and last tokens -> the best spans of each window, and of a whole text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lowcost_ft.scores.answers import best_threshold
from lowcost_ft.tasks.question_answering.examples import QuestionExample

if TYPE_CHECKING:
    import torch

__all__ = [
    "IMPOSSIBLE",
    "KEPT_SPANS",
    "Candidate",
    "Candidates",
    "best_spans",
    "candidates",
    "ranked_answers",
]

KEPT_SPANS = 20
"""Spans that are kept of each window, as SQuAD's usual scripts keep them."""
IMPOSSIBLE = -1e9
"""The score of a place that cannot be part of an answer."""


def possible_tokens(batch: Mapping[str, torch.Tensor], *, with_null: bool) -> torch.Tensor:
    """Which tokens of each row can be part of an answer, `(batch, sequence)`."""
    possible = batch["context_tokens"] != 0
    if not with_null:
        return possible
    import torch

    places = torch.arange(possible.shape[1], device=possible.device)
    return possible | (places == batch["null"].unsqueeze(1))


def best_spans(
    start: torch.Tensor, end: torch.Tensor, *, longest: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The spans with the highest sums of their two logits, of all spans that are short enough.

    Args:
        start: Logits of the first token, `(batch, sequence)`, `IMPOSSIBLE` outside of the text.
        end: Those of the last token.
        longest: Most tokens of a span.

    Returns:
        First and last token and score, `(batch, KEPT_SPANS)` each, the best first.
    """
    import torch
    from torch.nn import functional as F  # noqa: N812

    longest = min(longest, start.shape[1])
    ends = F.pad(end, (0, longest - 1), value=IMPOSSIBLE).unfold(1, longest, 1)
    sums = (start.unsqueeze(-1) + ends).flatten(1)  # (B, T * longest)
    score, place = sums.topk(min(KEPT_SPANS, sums.shape[1]), dim=1)
    first = torch.div(place, longest, rounding_mode="floor")
    last = first + place % longest
    missing = KEPT_SPANS - score.shape[1]
    return (
        F.pad(first, (0, missing)),
        F.pad(last, (0, missing)),
        F.pad(score, (0, missing), value=IMPOSSIBLE),
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible answer: characters of the text, and the sum of its two logits."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the windows of a text say together.

    Attributes:
        spans: The possible answers, the best first; none where the text has no token.
        null: The score of no answer: the lowest of the windows, since each speaks of its own part.
    """

    spans: list[Candidate]
    null: float

    @property
    def null_advantage(self) -> float:
        """How much better no answer is than the best one."""
        return self.null - self.spans[0].score if self.spans else -IMPOSSIBLE


def candidates(
    examples: Sequence[QuestionExample], predictions: dict[str, np.ndarray]
) -> Iterator[Candidates]:
    """The possible answers of each example.

    Args:
        examples: The examples.
        predictions: Of each window: the `example` that it belongs to (ascending), `start`, `end`
            and `score` of its best spans, and the score of no answer, `null`.
    """
    bounds = np.searchsorted(predictions["example"], np.arange(len(examples) + 1))
    for example, low, high in zip(examples, bounds[:-1], bounds[1:], strict=True):
        own = {name: array[low:high] for name, array in predictions.items()}
        spans: dict[tuple[int, int], float] = {}
        places = zip(
            *(own[name].ravel().tolist() for name in ("start", "end", "score")), strict=True
        )
        for start, end, score in places:
            if score <= IMPOSSIBLE / 2:
                continue
            start, end = _without_blanks(example.context, start, end)
            # Neighbouring windows hold the same span: the better score counts.
            if start < end and score > spans.get((start, end), IMPOSSIBLE):
                spans[start, end] = score
        ranked = sorted(spans.items(), key=lambda item: (-item[1], item[0]))
        yield Candidates(
            [Candidate(start, end, score) for (start, end), score in ranked],
            float(own["null"].min()) if len(own["null"]) else 0.0,
        )


def ranked_answers(
    example: QuestionExample, found: Candidates, null_threshold: float | None
) -> list[dict[str, Any]]:
    """All kept answers of an example with their shares, the one that is given first.

    Args:
        example: The question and its text.
        found: What the windows say of it.
        null_threshold: No answer is given where that scores more than this above the best one;
            None: an answer is always given.
    """
    answers = [
        {"answer": example.context[span.start : span.end], "start": span.start, "end": span.end}
        for span in found.spans
    ]
    scores = [span.score for span in found.spans]
    if null_threshold is not None or not answers:
        # Measured from the threshold, so that the order of the answers follows the decision.
        null = found.null - (null_threshold or 0.0)
        place = sum(score >= null for score in scores)
        answers.insert(place, {"answer": "", "start": 0, "end": 0})
        scores.insert(place, null)
    shares = np.exp(np.array(scores) - max(scores))
    shares /= shares.sum()
    return [answer | {"score": float(share)} for answer, share in zip(answers, shares, strict=True)]


def chosen_null_threshold(
    examples: Sequence[QuestionExample],
    predictions: dict[str, np.ndarray],
    f1: Callable[[str, Sequence[str]], float],
) -> float:
    """The threshold for no answer with the highest mean F1 of labelled examples.

    Args:
        examples: The examples.
        predictions: See `candidates`.
        f1: F1 of an answer and the true ones: `token_f1` or `character_f1`.
    """
    advantage, answered, unanswered = [], [], []
    for example, found in zip(examples, candidates(examples, predictions), strict=True):
        truths = [answer.text for answer in example.answers or ()]
        best = found.spans[0] if found.spans else None
        advantage.append(found.null_advantage)
        text = "" if best is None else example.context[best.start : best.end]
        answered.append(f1(text, truths))
        unanswered.append(f1("", truths))
    return best_threshold(*map(np.array, (advantage, answered, unanswered)))


def _without_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """The same span without the blanks at its ends, which some tokens hold."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
