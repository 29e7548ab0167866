"""Explains what a run says of texts: each decision, and what every word has to do with it."""

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from lowcost_ft.config.tasks import task_settings
from lowcost_ft.data.word_spans import word_spans
from lowcost_ft.errors import UserError
from lowcost_ft.explain.decided_row import DecidedRow, empty_embedding
from lowcost_ft.explain.faithfulness import Faithfulness, faithfulness, occlusion
from lowcost_ft.explain.gradients import Attribution, integrated_gradients
from lowcost_ft.pipeline.predicting import predict
from lowcost_ft.record.prediction_tokens import prediction_tokens
from lowcost_ft.tasks.explaining import Decision, SeenRow

if TYPE_CHECKING:
    import torch

__all__ = ["ExplainedText", "Explanation", "Options", "Word", "check_task", "explain"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How decisions are explained.

    Attributes:
        tolerance: The largest error, as a share of what is explained.
        max_steps: Most gradients for a decision.
        occlusion: Also hide each word alone.
        faithfulness: Also hide the words with the highest scores, and all others.
        seed: Seed of the random order of words that faithfulness is compared with.
    """

    tolerance: float = 0.01
    max_steps: int = 512
    occlusion: bool = False
    faithfulness: bool = False
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word and what it has to do with a decision.

    Attributes:
        part: Name of the text that it stands in.
        start: Its first character.
        end: The character after its last one.
        score: What it adds to the decision's value.
        occlusion: What the value loses without it, where that was asked for.
    """

    part: str
    start: int
    end: int
    score: float
    occlusion: float | None = None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A decision and its words.

    Attributes:
        decision: What is decided.
        texts: The texts that the model sees, by part.
        words: The words of the texts, in their order; those that no token stands for are left out.
        attribution: Scores of the tokens, with their convergence error.
        faithfulness: How the decision moves without words, where that was asked for.
    """

    decision: Decision
    texts: Mapping[str, str]
    words: tuple[Word, ...]
    attribution: Attribution
    faithfulness: Faithfulness | None = None


@dataclass(frozen=True, kw_only=True)
class ExplainedText:
    """An example with what was said of it.

    Attributes:
        example: The example.
        answer: As `predict` gives it.
        explanations: One a decision: none where nothing was found.
    """

    example: Any
    answer: dict[str, Any]
    explanations: tuple[Explanation, ...]


def check_task(task: Any) -> None:
    """Refuses a task whose decisions cannot be traced to words.

    Args:
        task: The task of a run, or its class.

    Raises:
        UserError: It is such a task.
    """
    if not task.can_explain:
        raise UserError(
            f"{task_settings(task.name).title} does not say which decisions its answers hold, so "
            "that there is nothing to explain; docs/explain.md lists the tasks that do"
        )


def explain(
    predictor: Any, examples: Sequence[Any], options: Options | None = None
) -> list[ExplainedText]:
    """Explains the answers to examples, in their order.

    Args:
        predictor: The run (`pipeline.predictor.Predictor`).
        examples: As the predictor reads them, labelled or not.
        options: How.

    Raises:
        UserError: The task cannot be explained.
    """
    options = options or Options()
    check_task(predictor.task)
    answers = predictor.predict(examples)
    empty = empty_embedding(predictor)
    found = []
    rows = zip(examples, answers, strict=True)
    bar = tqdm(rows, total=len(examples), unit="text", file=sys.stderr, disable=None, leave=False)
    for number, (example, answer) in enumerate(bar):
        blank = predictor.task.is_blank(example)
        explanations = (
            () if blank else tuple(_explain_one(predictor, example, options, number, empty))
        )
        found.append(ExplainedText(example=example, answer=answer, explanations=explanations))
    return found


def _explain_one(
    predictor: Any, example: Any, options: Options, number: int, empty: "torch.Tensor"
) -> list[Explanation]:
    task, tokenizer = predictor.task, predictor.tokenizer
    limit = predictor.max_length
    features = task.featurize([example], tokenizer, max_length=limit)
    predictions = predict(
        predictor.accelerator,
        predictor.model,
        task,
        features,
        pad_token_id=tokenizer.pad_token_id,
        micro_batch_tokens=prediction_tokens(predictor.run),
    )
    seen = task.seen_rows(example, features, tokenizer, max_length=limit)
    random = np.random.default_rng([options.seed, number])
    words = cache(lambda row: _words(seen[row]))
    found = []
    for decision in task.decisions(example, features, predictions):
        own, owners = words(decision.row)
        decided = DecidedRow(predictor, features, decision, owners >= 0, empty)
        texts = seen[decision.row].texts
        found.append(_explanation(decided, decision, texts, own, owners, options, random))
    return found


def _explanation(
    decided: DecidedRow,
    decision: Decision,
    texts: Mapping[str, str],
    words: Sequence[tuple[str, int, int]],
    owners: np.ndarray,
    options: Options,
    random: np.random.Generator,
) -> Explanation:
    attribution = integrated_gradients(
        decided, tolerance=options.tolerance, max_steps=options.max_steps
    )
    scores = np.bincount(
        owners[owners >= 0], weights=attribution.scores[owners >= 0], minlength=len(words)
    )
    alone = occlusion(decided, owners) if options.occlusion else None
    faithful = None
    if options.faithfulness and len(words):
        faithful = faithfulness(
            decided, owners, scores.tolist(), is_number=decision.is_number, random=random
        )
    return Explanation(
        decision=decision,
        texts=texts,
        words=tuple(
            Word(
                part=part,
                start=start,
                end=end,
                score=float(scores[n]),
                occlusion=None if alone is None else float(alone[n]),
            )
            for n, (part, start, end) in enumerate(words)
        ),
        attribution=attribution,
        faithfulness=faithful,
    )


def _words(seen: SeenRow) -> tuple[list[tuple[str, int, int]], np.ndarray]:
    """The words that tokens stand for, and the word of each token (-1 for one of no word)."""
    spans = [word_spans(text) for text in seen.texts.values()]
    starts = [[start for start, _ in words] for words in spans]
    ends = [[end for _, end in words] for words in spans]
    found: list[tuple[int, int] | None] = []
    for place in seen.places:
        owner = None
        if place is not None:
            text, start, end = place
            # The word with most of the token's characters, of those that it touches.
            near = range(bisect_right(ends[text], start), bisect_left(starts[text], end))
            shared = [
                (min(end, spans[text][word][1]) - max(start, spans[text][word][0]), -word)
                for word in near
            ]
            owner = (text, -max(shared)[1]) if shared else None
        found.append(owner)
    parts = list(seen.texts)
    kept = {owner: n for n, owner in enumerate(sorted({o for o in found if o is not None}))}
    owners = np.array([-1 if owner is None else kept[owner] for owner in found], np.int64)
    return [(parts[text], *spans[text][word]) for text, word in kept], owners
