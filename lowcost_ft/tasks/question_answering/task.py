"""Question answering: windows over long texts, the threshold for no answer, answers, scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import Array, Features
from lowcost_ft.scores.answers import has_blanks
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.question_answering.computing import QuestionComputing
from lowcost_ft.tasks.question_answering.confidence import QuestionConfidence
from lowcost_ft.tasks.question_answering.editing import QuestionEditing
from lowcost_ft.tasks.question_answering.examples import QuestionExample
from lowcost_ft.tasks.question_answering.explaining import QuestionExplaining
from lowcost_ft.tasks.question_answering.featurizing import (
    SCHEMA,
    answer_notices,
    question_features,
)
from lowcost_ft.tasks.question_answering.flags import NullFlags, QuestionFlags
from lowcost_ft.tasks.question_answering.measuring import QuestionMeasuring
from lowcost_ft.tasks.question_answering.reading import LABELS, QuestionReading
from lowcost_ft.tasks.question_answering.serving import QuestionServing
from lowcost_ft.tasks.question_answering.spans import (
    candidates,
    chosen_null_threshold,
    ranked_answers,
)
from lowcost_ft.tasks.question_answering.telling import QuestionTelling

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["QuestionAnsweringTask"]


class QuestionAnsweringTask(
    QuestionReading,
    QuestionComputing,
    QuestionEditing,
    QuestionExplaining,
    QuestionMeasuring,
    QuestionConfidence,
    QuestionTelling,
    QuestionServing,
):
    """Finds the span of a text that answers a question.

    A long text is cut into windows that overlap. In each, the model says how likely every token is
    the first and the last of the answer, and, at the first token of the row (of a decoder: at the
    last), that there is none. Spans of all windows are compared by the sum of their two logits.

    Args:
        causal: Whether the model is a decoder.
        window_overlap: Tokens that the windows of a long text share; a quarter of the maximum
            length by default.
        max_answer_tokens: Tokens of the longest answer.
        null_threshold: No answer is given where that scores more than this above the best one;
            None: an answer is always given.
        characters: Whether the texts have no blanks, so that F1 is counted over characters.

    Source:
        Devlin et al. (2019), BERT, sections 4.2 and 4.3.
    """

    name: ClassVar[str] = "question_answering"
    head: ClassVar[str] = "question_answering"
    several_truths: ClassVar[bool] = True
    predict_flags = QuestionFlags
    evaluate_flags = NullFlags
    input_flags: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("question", "context", "context_file"), "call predictor([question], [context])"
    )
    schema: ClassVar[dict[str, Array]] = SCHEMA
    problem_type: str | None = None

    def __init__(
        self,
        *,
        causal: bool = False,
        window_overlap: int | None = None,
        max_answer_tokens: int = 30,
        null_threshold: float | None = None,
        characters: bool = False,
    ) -> None:
        self.labels = list(LABELS)
        self.causal = causal
        self.window_overlap = window_overlap
        self.max_answer_tokens = max_answer_tokens
        self.null_threshold = null_threshold
        self.metric = "character_f1" if characters else "answer_f1"
        self._n_best: int | None = None

    @property
    def thresholds(self) -> list[float] | None:
        """The threshold for no answer, as `run.json` holds thresholds."""
        return None if self.null_threshold is None else [self.null_threshold]

    @classmethod
    def from_splits(cls, config: RunConfig, splits: Any, *, causal: bool) -> QuestionAnsweringTask:
        """The task of a run that begins."""
        without = sum(not has_blanks(example.context) for example in splits.train)
        return cls(
            causal=causal,
            window_overlap=config.window_overlap,
            max_answer_tokens=config.max_answer_tokens,
            null_threshold=None if all(e.answers for e in splits.train) else 0.0,
            characters=2 * without > len(splits.train),
        )

    @classmethod
    def from_record(cls, run: Mapping[str, Any]) -> QuestionAnsweringTask:
        """The task of a run that is over."""
        config, thresholds = run.get("config") or {}, run.get("thresholds")
        return cls(
            causal=run.get("pad_token_id") is not None,
            window_overlap=config.get("window_overlap"),
            max_answer_tokens=config.get("max_answer_tokens", 30),
            null_threshold=thresholds[0] if thresholds else None,
            characters=run.get("metric") == "character_f1",
        )

    @classmethod
    def for_planning(cls, labels: list[str]) -> QuestionAnsweringTask:
        """The task of a run whose data are not known; its outputs are always two."""
        return cls()

    @staticmethod
    def blank_arrays(rows: int, tokens: int) -> dict[str, np.ndarray]:
        """Arrays for rows whose content does not matter."""
        per_token = ("context_tokens", "char_starts", "char_ends")
        per_row = ("first", "last", "null", "number")
        return {
            **{name: np.zeros(tokens, np.int32) for name in per_token},
            **{name: np.zeros(rows, np.int64) for name in per_row},
        }

    def featurize(
        self,
        examples: Sequence[QuestionExample],
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
    ) -> Features:
        """Tokenizes questions with their texts; a long text becomes several rows."""
        return question_features(
            examples,
            tokenizer,
            causal=self.causal,
            max_length=max_length,
            overlap=self.window_overlap,
        )

    def token_notices(
        self, split: str, examples: Sequence[QuestionExample], features: Features
    ) -> list[str]:
        """Answers that cannot be learned, or cannot be given."""
        return answer_notices(split, examples, features, longest=self.max_answer_tokens)

    def choose_decisions(
        self, examples: Sequence[QuestionExample], predictions: Predictions
    ) -> None:
        """Chooses the threshold for no answer where some validation questions have none."""
        if all(example.answers for example in examples):
            return
        self.null_threshold = chosen_null_threshold(examples, predictions, self.f1_of)

    def ranked(
        self, examples: Sequence[QuestionExample], predictions: Predictions
    ) -> Iterator[list[dict[str, Any]]]:
        """All kept answers of each example, that which is given first."""
        for example, found in zip(examples, candidates(examples, predictions), strict=True):
            yield ranked_answers(example, found, self.null_threshold)

    def present(
        self, examples: Sequence[QuestionExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """`{"id", "question", "answer", "start", "end", "score"}` of each example.

        `start` and `end` count characters of the text, the end exclusive. The answer that says
        that there is none is empty. `score` is the share of the answer among those that were
        kept, by the exponential of their summed logits.
        """
        return [
            {"id": example.row_id, "question": example.question} | ranked[0]
            for example, ranked in zip(examples, self.ranked(examples, predictions), strict=True)
        ]

    def answer(
        self, examples: Sequence[QuestionExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """The same without the `id`; with `n_best`, the best ones under `answers`."""
        answers = []
        for example, ranked in zip(examples, self.ranked(examples, predictions), strict=True):
            ranked = self.told_answers(ranked)
            answer = {"question": example.question} | ranked[0]
            if self._n_best is not None:
                answer["answers"] = ranked[: self._n_best]
            answers.append(answer)
        return answers

    def blank_answer(self, example: QuestionExample) -> dict[str, Any]:
        """No answer."""
        return {"question": example.question, "answer": "", "start": 0, "end": 0, "score": None}

    def use(self, flags: NullFlags) -> list[str]:
        """Sets whether and from when on no answer is given; see `Task.use`."""
        if flags.null_threshold is not None:
            self.null_threshold = flags.null_threshold
        elif flags.null and self.null_threshold is None:
            self.null_threshold = 0.0
        self._n_best = flags.n_best if isinstance(flags, QuestionFlags) else None
        return []

    @staticmethod
    def truth_row(example: QuestionExample) -> dict[str, Any]:
        """The first true answer, empty where there is none, and all of them."""
        if example.answers is None:
            return {}
        texts = [answer.text for answer in example.answers]
        return {"true_answer": texts[0] if texts else "", "true_answers": texts}

    def losses(self, examples: Sequence[QuestionExample], predictions: Predictions) -> np.ndarray:
        """1 less the F1 of each answer."""
        return 1.0 - self.answer_scores(examples, predictions)

    def changed(
        self, examples: Sequence[QuestionExample], before: Predictions, after: Predictions
    ) -> np.ndarray:
        """Whether each question has another answer."""
        answers = [
            [(row["start"], row["end"]) for row in self.present(examples, predictions)]
            for predictions in (before, after)
        ]
        return np.array([one != other for one, other in zip(*answers, strict=True)], bool)

    def score(
        self, examples: Sequence[QuestionExample], predictions: Predictions, *, seed: int = 0
    ) -> dict[str, Any]:
        """Exact match and F1, with intervals over articles."""
        from lowcost_ft.scores.answers import score_answers

        return score_answers(
            [row["answer"] for row in self.present(examples, predictions)],
            [[answer.text for answer in example.answers or ()] for example in examples],
            groups=[self.group_of(example) for example in examples],
            characters=self.metric == "character_f1",
            seed=seed,
        )
