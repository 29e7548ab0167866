"""Which models of a server run together, and which run on their own, with the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lowcost_ft.models.families import find_family
from lowcost_ft.models.merging import MERGE_TOLERANCE, parity_gap
from lowcost_ft.models.virtual_tokens import VirtualTokens
from lowcost_ft.serve.grouping import Group, GroupError, first_changed_layer
from lowcost_ft.serve.models import ServedModel

__all__ = ["Grouping", "group_models"]

_PROBE = ("Where is my parcel, please?", "Ada")
"""Texts by which a group is compared with its models: two lengths, so that there is padding."""


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """How the models of a server run.

    Attributes:
        places: By the address of a model, its group and its number there.
        reasons: By the name of a model, why it runs on its own.
    """

    places: Mapping[int, tuple[Group, int]]
    reasons: Mapping[str, str]


def group_models(models: Sequence[ServedModel]) -> Grouping:
    """Finds models that share a base model and whose adapters begin at the same layer.

    A group is used only where its outputs are those of its models: this is measured for each.
    """
    places: dict[int, tuple[Group, int]] = {}
    reasons: dict[str, str] = {}
    found: dict[Any, list[ServedModel]] = {}
    for model in models:
        try:
            found.setdefault(_kind(model), []).append(model)
        except GroupError as error:
            reasons[model.name] = str(error)
    for same in found.values():
        fitting = [model for model in same if _fits(model, reasons)] if len(same) > 1 else same
        if len(fitting) < 2:
            for model in fitting:
                reasons.setdefault(model.name, "no other adapter begins at the same layer")
            continue
        try:
            group = _checked(fitting)
        except Exception as error:
            reasons |= dict.fromkeys((m.name for m in fitting), _told(error))
            continue
        places |= {id(model): (group, number) for number, model in enumerate(fitting)}
    return Grouping(places=places, reasons=reasons)


def _kind(model: ServedModel) -> tuple[Any, ...]:
    """What models of one group have in common: the weights below their adapters, by address."""
    called = model.predictor.model
    if isinstance(called, VirtualTokens):
        raise GroupError("its adapter is vectors in front of the text or of each layer's keys")
    family = find_family(getattr(called, "config", None))
    first = first_changed_layer(called, family)
    assert family is not None
    names = (*family.embeddings, *(f"{family.layers}.{n}" for n in range(first)))
    present = {name for name, _ in called.base_model.named_modules()}
    modules = [called.base_model.get_submodule(name) for name in names if name in present]
    return (first, *(p.data_ptr() for module in modules for p in module.parameters()))


def _fits(model: ServedModel, reasons: dict[str, str]) -> bool:
    try:
        _checked([model])
    except Exception as error:
        reasons[model.name] = _told(error)
        return False
    return True


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, GroupError) else f"it failed: {type(error).__name__}"


def _checked(models: Sequence[ServedModel]) -> Group:
    """A group whose outputs are those of its models.

    Raises:
        GroupError: They are not.
    """
    predictor = models[0].predictor
    inputs = _probe(predictor)
    called = [model.predictor.model for model in models]
    family = find_family(called[0].config)
    assert family is not None
    with torch.inference_mode(), predictor.accelerator.autocast():
        group = Group(called, family, inputs)
        rows = len(_PROBE)
        segments = [(n, n * rows, (n + 1) * rows) for n in range(len(models))]
        repeated = {name: torch.cat([value] * len(models)) for name, value in inputs.items()}
        lower = group.lower_states(inputs)
        upper = group.upper_states(torch.cat([lower] * len(models)), repeated, segments)
        for model, (number, first, last) in zip(called, segments, strict=True):
            with group.top(number, upper[first:last]) as top:
                together = top(**inputs)
            mask = inputs["attention_mask"].bool()
            for before, after in zip(_logits(model(**inputs)), _logits(together), strict=True):
                if before.shape[:2] == mask.shape:
                    before, after = before[mask], after[mask]
                if not parity_gap(before.float(), after.float()) <= MERGE_TOLERANCE:
                    raise GroupError("its outputs beside others are not its own")
    return group


def _logits(outputs: Any) -> list[torch.Tensor]:
    names = ("logits", "start_logits", "end_logits")
    return [outputs[name] for name in names if outputs.get(name) is not None]


def _probe(predictor: Any) -> dict[str, torch.Tensor]:
    tokenizer = predictor.tokenizer
    encoded = tokenizer(list(_PROBE), padding=True, padding_side="right", return_tensors="pt")
    device = predictor.accelerator.device
    return {name: value.to(device) for name, value in encoded.items()}
