"""Answers of one wave: the inputs of many requests, through their models in micro-batches."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np
import torch

from lowcost_ft.data.batching import MicroBatch, cut_step, inference_tokens
from lowcost_ft.data.features import collate, model_inputs
from lowcost_ft.models.attention_masks import has_padding, known_padding
from lowcost_ft.pipeline.writing import write_after
from lowcost_ft.record.prediction_tokens import prediction_tokens
from lowcost_ft.serve.answered import Answered
from lowcost_ft.serve.group_run import answer_group
from lowcost_ft.serve.groups import Grouping
from lowcost_ft.serve.models import ServedModel
from lowcost_ft.serve.part import Part
from lowcost_ft.training.recovery import each_that_fits

__all__ = ["answer_part", "answer_wave"]

_LOG = logging.getLogger("lowcost_ft.serve")


def answer_part(part: Part) -> None:
    """Runs a part through its own model.

    Raises:
        NoRoomError: A single input does not fit into memory.
    """
    if part.features is None:
        return
    if part.model.task.writes:
        _write(part)
        return
    features, predictor = part.features, part.model.predictor
    device = predictor.accelerator.device
    tokens = inference_tokens(prediction_tokens(predictor.run), device.type)
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


def _write(part: Part) -> None:
    """Lets the model write after each prompt; see `pipeline.writing.write_after`."""
    features, predictor = part.features, part.model.predictor
    assert features is not None
    prompts = [part.task.prompt(features, number) for number in range(features.num_examples)]
    found = write_after(
        predictor.accelerator,
        predictor.model,
        prompts,
        part.task.generation(),
        # What is drawn must not depend on the other requests of the wave, as its place would.
        numbers=np.array([crc32(prompt.tobytes()) for prompt in prompts]),
        pad_token_id=int(predictor.tokenizer.pad_token_id),
    )
    near_ties = set(found.near_ties)
    for number, tokens in enumerate(found.tokens):
        part.task.store_written(part.predictions, number, tokens, near_tie=number in near_ties)


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
    wave: Sequence[tuple[ServedModel, Sequence[Any]]], grouping: Grouping | None = None
) -> list[list[Answered] | Exception]:
    """Answers the inputs of each model; an exception stands where a model could not.

    Args:
        wave: Models and their inputs.
        grouping: Which of the models run together; None: each on its own.
    """
    found: list[list[Answered] | Exception] = []
    parts: list[Part | None] = []
    for model, examples in wave:
        try:
            parts.append(Part(model, examples))
            found.append([])
        except Exception as error:
            parts.append(None)
            found.append(error)
    for same in _together(parts, grouping):
        if len(same) > 1 and _ran_as_group(same, grouping):
            continue
        for one in same:
            try:
                answer_part(one)
            except Exception as error:
                number = parts.index(one)
                parts[number], found[number] = None, error
    for number, part in enumerate(parts):
        if part is not None:
            try:
                found[number] = part.answers()
            except Exception as error:
                found[number] = error
    return found


def _together(parts: Sequence[Part | None], grouping: Grouping | None) -> list[list[Part]]:
    """The parts that have something to compute, those of one group together."""
    places = {} if grouping is None else grouping.places
    found: dict[int, list[Part]] = {}
    for number, part in enumerate(parts):
        if part is None or part.features is None or not len(part.features.lengths):
            continue
        place = places.get(id(part.model))
        fits = place is not None and part.features.parts is None and not part.task.generates
        found.setdefault(id(place[0]) if place and fits else -number - 1, []).append(part)
    return list(found.values())


def _ran_as_group(parts: Sequence[Part], grouping: Grouping | None) -> bool:
    """Runs parts together; False where that failed, so that each has to run on its own."""
    assert grouping is not None
    places = [grouping.places[id(part.model)] for part in parts]
    try:
        answer_group(
            places[0][0], [(place[1], part) for place, part in zip(places, parts, strict=True)]
        )
    except Exception as error:
        _LOG.error("a group of models failed, and each runs on its own: %s", type(error).__name__)
        for part in parts:
            part.start()
        return False
    return True
