"""Question answering: windows over long texts, loss, spans, the threshold for no answer, scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import IGNORED_LABEL, Array, Features, flatten
from lowcost_ft.data.rows import Row, counted
from lowcost_ft.data.sample_questions import sample_questions
from lowcost_ft.errors import UserError
from lowcost_ft.scores.answers import best_threshold, has_blanks, token_f1
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.question_answering import examples as questions
from lowcost_ft.tasks.question_answering.examples import QuestionExample
from lowcost_ft.tasks.question_answering.flags import NullFlags, QuestionFlags
from lowcost_ft.tasks.question_answering.spans import (
    IMPOSSIBLE,
    KEPT_SPANS,
    Candidates,
    best_spans,
    candidates,
)
from lowcost_ft.tasks.question_answering.telling import QuestionTelling
from lowcost_ft.tasks.question_answering.windows import (
    encode,
    frame_of,
    target_of,
    windows_of,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["QuestionAnsweringTask"]

LABELS = ["start", "end"]
"""The two outputs of the head, in the order that transformers reads them."""


class QuestionAnsweringTask(QuestionTelling):
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
    group_title = "article"
    predict_flags = QuestionFlags
    evaluate_flags = NullFlags
    schema: ClassVar[dict[str, Array]] = {
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
    def read(
        cls,
        rows: Sequence[Row],
        reading: ReadingOptions,
        *,
        problems: list[str],
        notices: list[str],
        labelled: bool = True,
    ) -> list[QuestionExample]:
        """Reads one split's rows; see `questions.read_examples`."""
        return questions.read_examples(
            rows, reading, problems=problems, notices=notices, labelled=labelled
        )

    @classmethod
    def finish(
        cls,
        splits: Mapping[str, list[QuestionExample]],
        *,
        reading: ReadingOptions,
        labels: Sequence[str] | None = None,
        problems: list[str],
        notices: list[str],
    ) -> tuple[dict[str, list[QuestionExample]], list[str], None]:
        """Checks that there is something to learn; the labels are the same for all data."""
        for split, examples in splits.items():
            without = sum(not example.answers for example in examples)
            if without:
                notices.append(
                    f"{split}: {counted(without, 'question')} of {len(examples):,} have no answer"
                )
        train = splits.get("train")
        if train is not None and not any(example.answers for example in train):
            problems.append("train: no question has an answer; give some that have")
        return dict(splits), list(LABELS), None

    @staticmethod
    def sample_rows() -> dict[str, list[dict[str, Any]]]:
        """The embedded sample, by split."""
        return sample_questions()

    @staticmethod
    def blank(row: Row) -> QuestionExample:
        """The example of a blank line; files of lines are refused before it is asked for."""
        return QuestionExample(question="", context="", answers=None, source=row.source)

    @staticmethod
    def is_blank(example: QuestionExample) -> bool:
        """Whether there is no question, or no text that could answer it."""
        return not example.question.strip() or not example.context.strip()

    @staticmethod
    def read_texts(texts: Sequence[str], pairs: Sequence[str] | None) -> list[QuestionExample]:
        """Unlabelled examples of questions, and of the text of each.

        Raises:
            UserError: The texts of the questions are missing.
        """
        if pairs is None:
            raise UserError(
                "a question needs the text that it is about: give both (on the command line "
                "--question with --context or --context-file, in Python "
                "predictor(questions, texts))"
            )
        return [
            QuestionExample(question=text, context=pair, answers=None, source="question")
            for text, pair in zip(texts, pairs, strict=True)
        ]

    @classmethod
    def flag_examples(
        cls, flags: QuestionFlags, *, text: str | None, json: bool
    ) -> list[QuestionExample] | None:
        """The question and its text; see `Task.flag_examples`."""
        return questions.flag_examples(flags, text)

    @staticmethod
    def input_of(example: QuestionExample) -> tuple[str, str]:
        """What the model sees of an example."""
        return (example.question, example.context)

    @staticmethod
    def group_of(example: QuestionExample) -> str:
        """Questions about one article stay on one side of a cut."""
        return example.title or example.context

    @staticmethod
    def truth_of(example: QuestionExample) -> list[list[Any]] | None:
        """What the model should say of an example."""
        return None if example.answers is None else [[a.start, a.text] for a in example.answers]

    @staticmethod
    def classes(example: QuestionExample) -> frozenset[str]:
        """Whether there is an answer, for a validation split with the same share."""
        return frozenset() if example.answers else frozenset({"unanswerable"})

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
        """Tokenizes questions with their texts; a long text becomes several rows.

        A question that would leave less than half of a row to its text loses its end, and is
        counted.
        """
        frame = frame_of(tokenizer, null_at_end=self.causal)
        size = max_length - frame.size
        overlap = max_length // 4 if self.window_overlap is None else self.window_overlap
        # A decoder's tokenizer puts nothing between two texts.
        line_end = "\n" if self.causal else ""
        asked = encode([example.question + line_end for example in examples], tokenizer)
        texts = encode([example.context for example in examples], tokenizer)
        columns: dict[str, list[list[int]]] = {
            name: [] for name in ("ids", "types", "context_tokens", "char_starts", "char_ends")
        }
        rows: dict[str, list[int]] = {name: [] for name in ("first", "last", "null", "owner")}
        truncated = 0
        for number, (example, question, text) in enumerate(
            zip(examples, asked, texts, strict=True)
        ):
            truncated += len(question.ids) > size // 2
            for window in windows_of(
                question.ids[: size // 2], text.ids, frame, size=size, overlap=overlap
            ):
                null = len(window.ids) - 1 if self.causal else 0
                first = last = IGNORED_LABEL
                if example.answers is not None:
                    first, last = target_of(window, example.answers, text.offsets, null=null)
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
            schema=self.schema,
            truncated=truncated,
        )

    def forward(
        self, model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Logits of the first and of the last token, `(batch, sequence)` each."""
        outputs = model(**inputs)
        return {"first": outputs.start_logits.float(), "last": outputs.end_logits.float()}

    def loss(
        self, outputs: dict[str, torch.Tensor], batch: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Summed over the windows: the mean of the cross-entropies of first and last token.

        Only tokens of the text and the place of no answer take part: padding and question are no
        answers.
        """
        from torch.nn import functional as F  # noqa: N812

        possible = _possible(batch, with_null=True)
        losses = [
            F.cross_entropy(
                outputs[name].masked_fill(~possible, IMPOSSIBLE), batch[name], reduction="sum"
            )
            for name in ("first", "last")
        ]
        return (losses[0] + losses[1]) / 2

    def decode(self, outputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Not used: what stands where in a row is known with the batch alone."""
        raise AssertionError("see decode_batch")

    def decode_batch(
        self, outputs: dict[str, torch.Tensor], batch: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """The best spans of each window as tokens, and the score of no answer."""
        import torch

        device = outputs["first"].device
        on_device = {name: batch[name].to(device) for name in ("context_tokens", "null")}
        possible = _possible(on_device, with_null=False)
        masked = [outputs[name].masked_fill(~possible, IMPOSSIBLE) for name in ("first", "last")]
        first, last, score = best_spans(*masked, longest=self.max_answer_tokens)
        place = on_device["null"].unsqueeze(1)
        null = torch.stack([outputs[name].gather(1, place) for name in ("first", "last")]).sum(0)
        return {"first": first, "last": last, "score": score, "null": null.squeeze(1)}

    def new_predictions(self, features: Features) -> Predictions:
        """The best spans of every row, in characters, and the score of no answer."""
        rows = len(features.examples)
        return {
            "example": np.zeros(rows, np.int64),
            "start": np.zeros((rows, KEPT_SPANS), np.int64),
            "end": np.zeros((rows, KEPT_SPANS), np.int64),
            "score": np.zeros((rows, KEPT_SPANS), np.float32),
            "null": np.zeros(rows, np.float32),
        }

    def store(
        self,
        predictions: Predictions,
        decoded: dict[str, np.ndarray],
        batch: dict[str, torch.Tensor],
        examples: np.ndarray,
    ) -> None:
        """Writes a micro-batch's windows, each at the place of its row."""
        numbers = batch["number"].numpy()
        predictions["example"][numbers] = examples
        for name, source, where in (
            ("start", "char_starts", "first"),
            ("end", "char_ends", "last"),
        ):
            characters = batch[source].numpy()
            last = characters.shape[1] - 1
            found = np.take_along_axis(characters, np.minimum(decoded[where], last), axis=1)
            predictions[name][numbers] = np.where(decoded["score"] > IMPOSSIBLE / 2, found, 0)
        predictions["score"][numbers] = decoded["score"]
        predictions["null"][numbers] = decoded["null"]

    def choose_decisions(
        self, examples: Sequence[QuestionExample], predictions: Predictions
    ) -> None:
        """Chooses the threshold for no answer where some validation questions have none."""
        if all(example.answers for example in examples):
            return
        advantage, answered, unanswered = [], [], []
        for example, found in zip(examples, candidates(examples, predictions), strict=True):
            truths = [answer.text for answer in example.answers or ()]
            best = found.spans[0] if found.spans else None
            advantage.append(found.null_advantage)
            text = "" if best is None else example.context[best.start : best.end]
            answered.append(token_f1(text, truths))
            unanswered.append(token_f1("", truths))
        self.null_threshold = best_threshold(*map(np.array, (advantage, answered, unanswered)))

    def ranked(
        self, examples: Sequence[QuestionExample], predictions: Predictions
    ) -> Iterator[list[dict[str, Any]]]:
        """All kept answers of each example, that which is given first."""
        for example, found in zip(examples, candidates(examples, predictions), strict=True):
            yield self._ranked(example, found)

    def _ranked(self, example: QuestionExample, found: Candidates) -> list[dict[str, Any]]:
        answers = [
            {"answer": example.context[span.start : span.end], "start": span.start, "end": span.end}
            for span in found.spans
        ]
        scores = [span.score for span in found.spans]
        if self.null_threshold is not None or not answers:
            # Measured from the threshold, so that the order of the answers follows the decision.
            null = found.null - (self.null_threshold or 0.0)
            place = sum(score >= null for score in scores)
            answers.insert(place, {"answer": "", "start": 0, "end": 0})
            scores.insert(place, null)
        shares = np.exp(np.array(scores) - max(scores))
        shares /= shares.sum()
        return [
            answer | {"score": float(share)} for answer, share in zip(answers, shares, strict=True)
        ]

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
        found = self.present(examples, predictions)
        return np.array(
            [
                1.0 - token_f1(answer["answer"], [a.text for a in example.answers or ()])
                for example, answer in zip(examples, found, strict=True)
            ]
        )

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


def _possible(batch: Mapping[str, torch.Tensor], *, with_null: bool) -> torch.Tensor:
    """Which tokens of each row can be part of an answer, `(batch, sequence)`."""
    possible = batch["context_tokens"] != 0
    if not with_null:
        return possible
    import torch

    places = torch.arange(possible.shape[1], device=possible.device)
    return possible | (places == batch["null"].unsqueeze(1))
