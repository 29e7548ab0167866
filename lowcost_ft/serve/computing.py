"""Answers of one wave: the inputs of many requests, through their models in micro-batches."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from lowcost_ft.data.batching import MicroBatch, cut_step, inference_tokens
from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.models.attention_masks import has_padding, known_padding
from lowcost_ft.models.pooled_states import PooledTexts
from lowcost_ft.serve.answered import Answered
from lowcost_ft.serve.class_scores import WithLogits, class_rows
from lowcost_ft.serve.models import ServedModel
from lowcost_ft.training.recovery import each_that_fits

__all__ = ["Part", "answer_part", "answer_wave"]


class Part:
    """The inputs of one wave that one model answers, tokenized.

    Attributes:
        model: The model.
        task: Its task, whose predictions hold logits too where they are scores of classes.
        examples: The inputs that are not blank.
        features: Their tokens.
        predictions: Filled in while micro-batches run.
        pooled: The states of the texts, by which those unlike the training data are told.
    """

    def __init__(self, model: ServedModel, examples: Sequence[Any]) -> None:
        self.model = model
        task = model.task
        self.task: Any = WithLogits(task) if task.gives_class_scores else task
        self.given = list(examples)
        self.examples = [one for one in self.given if not task.is_blank(one)]
        self.features: Features | None = None
        self.predictions: Any = {}
        self.pooled: PooledTexts | None = None
        if self.examples:
            self.features = model.predictor.features(self.examples)
            self.predictions = self.task.new_predictions(self.features)
            if model.predictor.novelty is not None:
                self.pooled = PooledTexts(self.features.num_examples)

    def answers(self) -> list[Answered]:
        """The answer to each input, in their order."""
        task = self.model.task
        if self.features is None:
            return [Answered(answer=task.blank_answer(one)) for one in self.given]
        scores = class_rows(task, self.examples, self.predictions, "scores")
        logits = class_rows(task, self.examples, self.predictions, "logits")
        tokens = np.bincount(
            self.features.examples, weights=self.features.lengths, minlength=len(self.examples)
        )
        cut = self._truncated()
        states = None if self.pooled is None else self.pooled.states()
        told = self.model.predictor.answers_of(self.examples, self.predictions, states)
        found = iter(
            Answered(
                answer=answer,
                scores=scores[number],
                logits=logits[number],
                tokens=int(tokens[number]),
                truncated=number in cut,
            )
            for number, answer in enumerate(told)
        )
        return [
            Answered(answer=task.blank_answer(one)) if task.is_blank(one) else next(found)
            for one in self.given
        ]

    def _truncated(self) -> set[int]:
        """Which examples lost tokens; the features know only how many."""
        assert self.features is not None
        if not self.features.truncated:
            return set()
        if len(self.examples) == 1:
            return {0}
        # A row that was cut is as long as a row can be.
        longest = self.features.lengths.max()
        full = set(self.features.examples[self.features.lengths >= longest - 1].tolist())
        return {
            number
            for number in full
            if self.model.predictor.features([self.examples[number]]).truncated
        }


def answer_part(part: Part) -> None:
    """Runs a part through its own model.

    Raises:
        NoRoomError: A single input does not fit into memory.
    """
    if part.features is None:
        return
    features, predictor = part.features, part.model.predictor
    device = predictor.accelerator.device
    tokens = inference_tokens(predictor.run["config"]["micro_batch_tokens"], device.type)
    micro_batches = cut_step(
        np.arange(len(features.lengths)), features.lengths, micro_batch_tokens=tokens
    )
    with torch.inference_mode():
        for rows, (decoded, batch, states) in each_that_fits(
            micro_batches,
            features.lengths,
            partial(_decode, part),
            absorb=True,
            name=lambda row: f"input {features.examples[row] + 1}",
            recoveries=[],
        ):
            part.task.store(part.predictions, decoded, batch, features.examples[rows])
            if part.pooled is not None:
                part.pooled.add(states, features.examples[rows])


def _decode(
    part: Part, rows: MicroBatch
) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor], Any]:
    features, predictor = part.features, part.model.predictor
    assert features is not None
    batch = collate(features, rows, pad_token_id=predictor.tokenizer.pad_token_id)
    device = predictor.accelerator.device
    inputs = {name: value.to(device) for name, value in model_inputs(batch, features).items()}
    with known_padding(has_padding(features.lengths[rows])), predictor.accelerator.autocast():
        decoded = part.task.predict(predictor.model, inputs, batch)
    states = None if part.pooled is None else part.pooled.take(batch)
    return {name: value.cpu().numpy() for name, value in decoded.items()}, batch, states


def answer_wave(
    wave: Sequence[tuple[ServedModel, Sequence[Any]]],
) -> list[list[Answered] | Exception]:
    """Answers the inputs of each model; an exception stands where a model could not."""
    found: list[list[Answered] | Exception] = []
    for model, examples in wave:
        try:
            part = Part(model, examples)
            answer_part(part)
            found.append(part.answers())
        except Exception as error:
            found.append(error)
    return found
