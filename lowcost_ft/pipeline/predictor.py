"""A finished run that is loaded, to predict and to be scored on other data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from transformers import PreTrainedTokenizerBase

from lowcost_ft.config.arguments import to_list
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.features import Features
from lowcost_ft.errors import UserError
from lowcost_ft.models.pooled_states import PooledTexts
from lowcost_ft.models.refusals import check_token_ids
from lowcost_ft.models.shared_weights import share_weights
from lowcost_ft.models.tokenizers import cut_end
from lowcost_ft.pipeline.confidence import against
from lowcost_ft.pipeline.predicting import predict
from lowcost_ft.pipeline.run_input import (
    check_pairs,
    read_labelled_file,
    read_lines,
    read_unlabelled_file,
    text_examples,
)
from lowcost_ft.record.prediction_tokens import prediction_tokens
from lowcost_ft.scores.novelty import Novelty
from lowcost_ft.tasks.base import Task

__all__ = ["Predictor"]


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained model with everything that it takes to use it.

    Attributes:
        run: The content of `run.json`.
        task: The run's task, with its labels.
        model: The model, in evaluation mode, on the accelerator's device.
        tokenizer: The tokenizer, as it was in training.
        accelerator: Device and precision.
        concurrent: Whether each thread of a CPU may run a copy of the modules: see `predict`.
        flags: The task's own flags of `predict`.
        notices: What the user should know about the files and texts so far.
        longest: Tokens that the model has positions for; None if there is no limit.
        novelty: Recognizes texts unlike the training data; None if the run kept nothing for it.
    """

    run: dict[str, Any]
    task: Task
    model: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase
    accelerator: Accelerator
    concurrent: bool = False
    flags: Any = None
    notices: list[str] = field(default_factory=list)
    longest: int | None = None
    novelty: Novelty | None = None

    def __call__(self, texts: Iterable[str], pairs: Iterable[str] | None = None) -> list[dict]:
        """Predicts texts.

        Args:
            texts: The texts: a list, a tuple, an iterator, an array or a column. A single string
                is refused: write `predictor([text])`.
            pairs: The second text of each pair, for a model that was trained on pairs.

        Returns:
            For each text a dictionary; see `Task.answer`. A blank text has an empty answer: no
            entities, and None (several labels: an empty list) as `label` and `score`.

        Raises:
            UserError: A text is missing or broken; the model wants pairs and gets single texts, or
                the reverse; or `texts` and `pairs` are not equally long.
        """
        return self.predict(text_examples(self.run, texts, pairs))

    def predict(self, examples: Iterable[Any]) -> list[dict[str, Any]]:
        """Predicts examples of the task.

        Args:
            examples: The examples, as `read` returns them.

        Returns:
            One answer for each example, in their order. It begins with the `id` of the row, if the
            input has one. It holds `calibrated` if its scores are probabilities of being right,
            and `unlike_training` if the text is unlike the training data. An example without text
            gets an empty answer: see `__call__`.

        Raises:
            UserError: These are not examples; or the model wants pairs and gets single texts, or
                the reverse.
        """
        examples = to_list(examples, "examples", of="examples, as `read` returns them")
        if wrong := next((e for e in examples if not hasattr(e, "source")), None):
            raise UserError(
                f"examples holds {type(wrong).__name__}, not examples, as `read` returns them: for "
                "texts call the predictor itself, predictor([text, ...])"
            )
        present = [example for example in examples if not self.task.is_blank(example)]
        predictions, states = self._predictions(present) if present else ({}, None)
        answered = iter(self.answers_of(present, predictions, states) if present else [])
        return [
            ({} if example.row_id is None else {"id": example.row_id})
            | (self.task.blank_answer(example) if self.task.is_blank(example) else next(answered))
            for example in examples
        ]

    def answers_of(
        self, examples: Sequence[Any], predictions: Any, states: np.ndarray | None
    ) -> list[dict[str, Any]]:
        """Turns predictions into answers; see `predict`.

        Args:
            examples: The examples, none of them blank.
            predictions: The task's arrays.
            states: The mean state of each text, `(examples, width)`; None where it is not known.
        """
        answers = self.task.answer(examples, predictions)
        if self.task.score_map is not None:
            answers = [answer | {"calibrated": True} for answer in answers]
        if self.novelty is not None and states is not None:
            far = self.novelty.distances(states) > self.novelty.threshold
            answers = [
                answer | ({"unlike_training": True} if unlike else {})
                for answer, unlike in zip(answers, far, strict=True)
            ]
        return answers

    def predict_with_uncertainty(
        self, examples: Sequence[Any]
    ) -> tuple[list[dict[str, Any]], np.ndarray | None]:
        """Predicts examples, and says how unsure the model is of each.

        Args:
            examples: The examples, none of them blank.

        Returns:
            The answers, and the uncertainty of each, `(examples,)` (`Task.uncertainty`); None if
            the task has no probabilities.
        """
        predictions, _ = self._predictions(examples)
        answers = self.task.answer(examples, predictions)
        return answers, self.task.uncertainty(examples, predictions)

    def evaluate(self, path: str, *, reading: ReadingOptions | None = None) -> dict[str, Any]:
        """Scores a labelled file.

        Args:
            path: A file of any kind that training reads.
            reading: How the file is read; None: as the run's data was, where that fits.

        Returns:
            The task's metrics.

        Raises:
            UserError: The file is malformed, or shares no label with the model. Single labels that
                the model does not know count as mistakes.
        """
        return self.score(read_labelled_file(self.run, path, reading=reading, notices=self.notices))

    def score(self, examples: Sequence[Any]) -> dict[str, Any]:
        """Computes the task's metrics on labelled examples (from `read_labelled_file`)."""
        predictions, _ = self._predictions(examples)
        return self.task.score(examples, predictions, seed=self.run["seed"])

    def out_of_scope(self, inside: Sequence[Any], outside: Sequence[Any]) -> dict[str, Any]:
        """Measures how well texts that the model is not for are recognized.

        Args:
            inside: Examples like the training data.
            outside: Examples that the model is not for.

        Returns:
            `texts`, the number of outside texts; `flagged` and `flagged_of_test`, the shares of
            outside and inside texts that are flagged; and `auroc` of their distances, with its
            interval (`scores/novelty.py`).

        Raises:
            UserError: The run keeps nothing that texts can be compared with.
        """
        if self.novelty is None:
            told = (self.run.get("novelty") or {}).get("reason") or "it is of an older version"
            raise UserError(f"the run cannot tell texts unlike its training data: {told}")
        near, far = (self._distances(examples) for examples in (inside, outside))
        share = float((near > self.novelty.threshold).mean())
        return against(self.novelty, near, far) | {"flagged_of_test": share}

    def _distances(self, examples: Sequence[Any]) -> np.ndarray:
        present = [example for example in examples if not self.task.is_blank(example)]
        _, states = self._predictions(present)
        assert self.novelty is not None
        assert states is not None
        return self.novelty.distances(states)

    def read(self, path: str, *, reading: ReadingOptions | None = None) -> list[Any]:
        """Reads a file of examples, labelled or not, to predict them."""
        return read_unlabelled_file(self.run, path, reading=reading, notices=self.notices)

    def read_lines(self, data: bytes, *, name: str) -> list[Any]:
        """Reads texts, one a line.

        Args:
            data: The lines.
            name: What messages call their source.
        """
        return read_lines(self.run, data, name=name)

    def share_weights(self, other: "Predictor") -> int:
        """Lets another predictor use this one's weights where they are equal, bit for bit.

        Two adapters on one base model then hold it once; load both with `keep_adapter=True`.

        Args:
            other: Another predictor, which gives up its copies.

        Returns:
            Bytes that are held once instead of twice.
        """
        return share_weights(self.model, other.model)

    @property
    def max_length(self) -> int:
        """Longest input in tokens: as in training, unless the model has fewer positions."""
        asked: int = self.run["config"]["max_length"]
        return min(asked, self.longest or asked)

    def features(self, examples: Sequence[Any]) -> Features:
        """Tokenizes examples.

        Raises:
            UserError: The model has no embedding for a token of its tokenizer.
        """
        features = self.task.featurize(examples, self.tokenizer, max_length=self.max_length)
        check_token_ids(
            features.input_ids, self.model.config, self.tokenizer, str(self.run["model_id"])
        )
        return features

    def _predictions(self, examples: Sequence[Any]) -> tuple[Any, np.ndarray | None]:
        check_pairs(self.run, examples)
        notice = self.task.use_notice(self.run, examples)
        if notice is not None and notice not in self.notices:
            self.notices.append(notice)
        config, limit = self.run["config"], self.max_length
        features = self.features(examples)
        if features.truncated:
            given = limit == config["max_length"]
            what = f"the run's --max-length {limit}" if given else f"the model's {limit} positions"
            told = self.task.cut_in_use(
                len(examples), features, limit=what, end=cut_end(self.tokenizer)
            )
            self.notices.append(told)
        pooled = None if self.novelty is None else PooledTexts(features.num_examples)
        predictions = predict(
            self.accelerator,
            self.model,
            self.task,
            features,
            pad_token_id=self.tokenizer.pad_token_id,
            micro_batch_tokens=prediction_tokens(self.run),
            concurrent=self.concurrent,
            pooled=pooled,
        )
        return predictions, None if pooled is None else pooled.states()
