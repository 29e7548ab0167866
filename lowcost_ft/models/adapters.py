"""Which weights train: LoRA matrices and heads, or the whole model, or its top layers."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from lowcost_ft.errors import UserError
from lowcost_ft.models.families import Family, known_families
from lowcost_ft.models.hub import quiet_libraries

__all__ = ["DEFAULT_LORA_ALPHA", "add_lora", "find_lora_targets", "layer_list", "train_fully"]

DEFAULT_LORA_ALPHA = 32
"""Numerator of LoRA's scaling when the user gives none; see `add_lora`."""

ALL_LINEAR = "all-linear"


def layer_list(model: Any, family: Family) -> nn.ModuleList:
    """The transformer layers of a model that has no adapter yet, lowest first."""
    layers = model.base_model.get_submodule(family.layers)
    assert isinstance(layers, nn.ModuleList)
    return layers


def add_lora(
    model: Any,
    *,
    head: str,
    head_names: Sequence[str],
    targets: str | list[str],
    r: int,
    alpha: int | None,
    dropout: float,
    revision: str | None = None,
) -> PeftModel:
    """Freezes a model, and adds a low-rank update to its targets and a trainable copy of its heads.

    A target with frozen weight W computes x W + (alpha / r) x A B, with A random and B zero, so the
    model starts out unchanged (Hu et al. 2021, arXiv:2106.09685).

    `alpha` stays 32 when the rank changes. Adam moves every entry of B by about the learning rate,
    whatever the gradient's size, so the r rank-one terms add up and A B grows in proportion to r;
    alpha / r takes exactly that factor out. With a constant alpha one learning rate serves all
    ranks, whereas with the frequent alpha = 2 r the step would grow with the rank.

    Args:
        model: A task model of transformers, as loaded.
        head: "token" or "sequence".
        head_names: Paths of the modules to train in full and save with the adapter.
        targets: What `find_lora_targets` returned.
        r: Rank.
        alpha: Numerator of the scaling; None for 32.
        dropout: Probability of dropping an input of A.
        revision: Recorded in the adapter, so that others load the same base model.

    Returns:
        The model wrapped by peft; only LoRA matrices and heads require gradients.

    Raises:
        UserError: The names of the heads also fit modules inside the backbone.
    """
    modules = dict(model.named_modules())
    matched = [modules[name] for name in _matching(list(modules), targets)]
    config = LoraConfig(
        task_type=TaskType.TOKEN_CLS if head == "token" else TaskType.SEQ_CLS,
        r=r,
        lora_alpha=DEFAULT_LORA_ALPHA if alpha is None else alpha,
        lora_dropout=dropout,
        target_modules=targets,
        # GPT-2 keeps its weights transposed; peft corrects the flag by itself, but with a warning.
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in matched),
        modules_to_save=list(head_names),
        revision=revision,
    )
    with quiet_libraries():
        peft_model = get_peft_model(model, config)
    # peft appends "classifier" and "score" to the list, which would be saved as duplicates.
    config.modules_to_save = list(head_names)
    # A relative path would be looked up from wherever the adapter is loaded later.
    if Path(model.name_or_path).is_dir():
        config.base_model_name_or_path = str(Path(model.name_or_path).resolve())
    _check_trainable(peft_model, head_names)
    return peft_model


def find_lora_targets(
    model: Any,
    family: Family | None,
    *,
    head_names: Sequence[str],
    target_modules: Sequence[str] | None,
    trainable_layers: int | None,
) -> str | list[str]:
    """Names the linear layers that get a low-rank update; never one of a head.

    Args:
        model: A task model of transformers.
        family: Its entry in the table, or None.
        head_names: Paths of the head modules.
        target_modules: Ends of module names, e.g. ("query", "value"), or ("all-linear",); None for
            the family's own: all linear layers of attention and feed-forward.
        trainable_layers: How many of the top layers; None for all.

    Returns:
        A regular expression that fits the full names, restricted to the layers of a known family;
        a list of full names for another.

    Raises:
        UserError: A target fits nothing, or the family is unknown and no target is given.
    """
    linear = [
        name
        for name, module in model.base_model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
    ]
    prefix = f"{model.base_model_prefix}."
    linear = [
        name
        for name in linear
        if not any(f"{prefix}{name}.".startswith(f"{head}.") for head in head_names)
    ]
    wanted = None if target_modules is None else tuple(target_modules)
    if family is None:
        if wanted is None:
            raise UserError(
                f"target_modules: model type {model.config.model_type!r} is not in the table of "
                f"families ({known_families()}), so the layers to adapt must be named: pass "
                f"--target-modules with some of {_listed(linear)}, or all-linear"
            )
        if wanted != (ALL_LINEAR,):
            linear = _named(linear, wanted)
        return [prefix + name for name in linear]

    layer = re.escape(family.layers) + r"\." + _layer_index(model, family, trainable_layers)
    # "encoder.layer.5.output.dense" -> "output.dense", for the layers that are to be adapted.
    inside = re.compile(rf"{layer}\.(.+)")
    suffixes = list(dict.fromkeys(m.group(1) for name in linear if (m := inside.fullmatch(name))))
    if wanted is None or wanted == (ALL_LINEAR,):
        patterns = [re.escape(target).replace(r"\*", r"\d+") for target in family.lora_targets]
        suffixes = [s for s in suffixes if any(re.fullmatch(p, s) for p in patterns)]
    else:
        suffixes = _named(suffixes, wanted)
    assert suffixes, f"the table's lora_targets fit nothing in {family.name}"
    return re.escape(prefix) + layer + rf"\.(?:{'|'.join(re.escape(s) for s in suffixes)})"


def train_fully(
    model: Any,
    family: Family | None,
    *,
    head_names: Sequence[str],
    trainable_layers: int | None,
) -> None:
    """Makes the whole model trainable, or only its top layers and its heads.

    Args:
        model: A task model of transformers.
        family: Its entry in the table; needed when `trainable_layers` is given.
        head_names: Paths of the head modules.
        trainable_layers: How many of the top layers; None for the whole model, embeddings too.
    """
    model.requires_grad_(trainable_layers is None)
    if trainable_layers is None:
        return
    assert family is not None
    for module in [*layer_list(model, family)[-trainable_layers:]]:
        module.requires_grad_(True)
    for name in head_names:
        model.get_submodule(name).requires_grad_(True)


def _layer_index(model: Any, family: Family, trainable_layers: int | None) -> str:
    """A regular expression for the positions of the layers that train."""
    if trainable_layers is None:
        return r"\d+"
    count = len(layer_list(model, family))
    return f"(?:{'|'.join(map(str, range(count - trainable_layers, count)))})"


def _named(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Those of `names` that end in one of `wanted`, each of which must fit something."""
    found = {w: [n for n in names if n == w or n.endswith(f".{w}")] for w in wanted}
    missing = [name for name, matches in found.items() if not matches]
    if missing:
        raise UserError(
            f"target_modules: {', '.join(map(repr, missing))} fits no linear layer that can be "
            f"adapted; candidates: {_listed(names)}"
        )
    chosen = {name for matches in found.values() for name in matches}
    return [name for name in names if name in chosen]


def _listed(names: Sequence[str]) -> str:
    """The distinct names without their layer numbers, for a message."""
    short = dict.fromkeys(re.sub(r"^.*\.\d+\.", "", name) for name in names)
    return ", ".join(short) or "none"


def _matching(names: Sequence[str], targets: str | list[str]) -> list[str]:
    if isinstance(targets, str):
        pattern = re.compile(targets)
        return [name for name in names if pattern.fullmatch(name)]
    return [name for name in names if name in targets]


def _check_trainable(peft_model: PeftModel, head_names: Sequence[str]) -> None:
    # peft matches names by their end without regard to dots: "score" would also fit "raw_score".
    allowed = tuple(f"base_model.model.{name}.modules_to_save." for name in head_names)
    extra = [
        name
        for name, parameter in peft_model.named_parameters()
        if parameter.requires_grad and ".lora_" not in name and not name.startswith(allowed)
    ]
    if extra:
        raise UserError(
            f"model_id: peft would also train {extra[0].removeprefix('base_model.model.')} "
            "because its name ends like a head's; this model cannot be used with --method lora"
        )
