"""The inputs of a wave for models of one group: their micro-batches hold rows of all of them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from lowcost_ft.data.batching import MicroBatch, cut_step, inference_tokens
from lowcost_ft.data.features import collate, model_inputs
from lowcost_ft.models.attention_masks import known_padding
from lowcost_ft.models.pooled_states import sum_states, take_states
from lowcost_ft.record.prediction_tokens import prediction_tokens
from lowcost_ft.serve.grouping import Group
from lowcost_ft.serve.part import Part
from lowcost_ft.training.recovery import each_that_fits

__all__ = ["answer_group"]


def answer_group(group: Group, members: Sequence[tuple[int, Part]]) -> None:
    """Runs parts of different models of a group, in micro-batches of rows of all of them.

    Args:
        group: The group.
        members: Numbers of models in it, and their parts.

    Raises:
        NoRoomError: A single input does not fit into memory.
    """
    rows = _Rows(sorted(members, key=lambda member: member[0]))
    predictors = [part.model.predictor for _, part in members]
    device = predictors[0].accelerator.device
    tokens = min(
        inference_tokens(prediction_tokens(predictor.run), device.type) for predictor in predictors
    )
    # Equal texts stand side by side, so that what is below the adapters runs once for them.
    order = np.array(sorted(range(len(rows.lengths)), key=lambda row: rows.keys[row]))
    with torch.inference_mode():
        for _, results in each_that_fits(
            cut_step(order, rows.lengths, micro_batch_tokens=tokens),
            rows.lengths,
            partial(_run, group, rows),
            absorb=True,
            name=lambda row: f"an input of {rows.lengths[row]} tokens",
            recoveries=[],
        ):
            for part, own, decoded, batch, states in results:
                assert part.features is not None
                examples = part.features.examples[own]
                part.task.store(part.predictions, decoded, batch, examples)
                if part.pooled is not None:
                    part.pooled.add(states, examples)


class _Rows:
    """The rows of all parts, one after the other.

    Attributes:
        members: Numbers of models, ascending, and their parts.
        starts: The first row of each part, and the number of all.
        lengths: Tokens of each row.
        keys: What is equal for rows with the same tokens.
    """

    def __init__(self, members: Sequence[tuple[int, Part]]) -> None:
        self.members = members
        found = [part.features for _, part in members if part.features is not None]
        self.starts = np.concatenate([[0], np.cumsum([len(one.lengths) for one in found])])
        self.lengths = np.concatenate([one.lengths for one in found])
        self.keys = [
            b"".join(
                ids[one.starts[row] : one.starts[row + 1]].tobytes()
                for ids in (one.input_ids, one.token_type_ids)
                if ids is not None
            )
            for one in found
            for row in range(len(one.lengths))
        ]


def _run(group: Group, rows: _Rows, micro_batch: MicroBatch) -> list[tuple[Any, ...]]:
    """Part, its rows, what was decoded, the batch, and the states of the texts, for each part."""
    chosen = np.sort(micro_batch)  # The rows of a model together, the models ascending.
    length = int(rows.lengths[chosen].max())
    owners = np.searchsorted(rows.starts, chosen, side="right") - 1
    accelerator = rows.members[0][1].model.predictor.accelerator
    device = accelerator.device
    segments: list[tuple[int, int, int]] = []
    taken, batches, given = [], [], []
    for place in np.unique(owners):
        number, part = rows.members[place]
        own = chosen[owners == place] - rows.starts[place]
        features = part.features
        assert features is not None
        pad = part.model.predictor.tokenizer.pad_token_id
        batch = collate(features, own, pad_token_id=pad, length=length)
        inputs = model_inputs(batch, features)
        first = segments[-1][2] if segments else 0
        segments.append((number, first, first + len(own)))
        taken.append((part, own))
        batches.append(batch)
        given.append({name: value.to(device) for name, value in inputs.items()})
    together = {name: torch.cat([one[name] for one in given]) for name in given[0]}
    firsts: dict[bytes, int] = {}
    for row, index in enumerate(chosen):
        firsts.setdefault(rows.keys[index], row)
    ranks = {row: rank for rank, row in enumerate(firsts.values())}
    repeats = torch.tensor([ranks[firsts[rows.keys[index]]] for index in chosen], device=device)
    distinct = torch.tensor(list(firsts.values()), device=device)
    masks = known_padding(bool((rows.lengths[chosen] < length).any()))
    results = []
    with masks, accelerator.autocast():
        lower = group.lower_states({name: value[distinct] for name, value in together.items()})
        middle = take_states()
        upper = group.upper_states(lower[repeats], together, segments)
        if group.middle_is_lower:
            assert middle is not None
            middle = middle[repeats]
        else:
            middle = take_states()
        assert middle is not None
        for (part, own), (number, first, last), batch, inputs in zip(
            taken, segments, batches, given, strict=True
        ):
            with group.top(number, upper[first:last]) as model:
                decoded = part.task.predict(model, inputs, batch)
            states = None if part.pooled is None else sum_states(middle[first:last], batch)
            found = {name: value.cpu().numpy() for name, value in decoded.items()}
            results.append((part, own, found, batch, states))
    return results
