"""Which weights train: an adapter and heads, or the whole model, or its top layers."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers.pytorch_utils import Conv1D

from lowcost_ft.errors import UserError, is_out_of_memory
from lowcost_ft.models.families import known_families
from lowcost_ft.models.family import Family
from lowcost_ft.models.hub import quiet_libraries
from lowcost_ft.tasks.heads import find_head

__all__ = [
    "ALL_LINEAR",
    "add_adapter",
    "common_fields",
    "find_norms",
    "find_targets",
    "has_transposed",
]
__all__ += ["backbone_prefix", "layer_list", "train_fully"]

ALL_LINEAR = "all-linear"


def backbone_prefix(model: Any) -> str:
    """What stands before the names of the backbone's modules in those of the model.

    Nothing where the model has no module that is the backbone, as T5 with its language head.
    """
    return "" if model.base_model is model else f"{model.base_model_prefix}."


def layer_list(model: Any, family: Family) -> nn.ModuleList:
    """The transformer layers of a model that has no adapter yet, lowest first."""
    layers = model.base_model.get_submodule(family.layers)
    assert isinstance(layers, nn.ModuleList)
    return layers


def add_adapter(
    model: Any, config: PeftConfig, *, head_names: Sequence[str], field: str = "method"
) -> PeftModel:
    """Freezes a model, and adds an adapter and a trainable copy of its heads.

    Args:
        model: A task model of transformers, as loaded.
        config: What `adapter_config` or `read_adapter_config` returned.
        head_names: Paths of the modules to train in full and save with the adapter.
        field: The setting that the adapter comes from, for messages.

    Returns:
        The model wrapped by peft; only the adapter and the heads require gradients.

    Raises:
        UserError: The adapter does not fit the model, or would reach into a head.
    """
    fields: Any = config  # Each kind of configuration has fields of its own.
    wanted = list(fields.modules_to_save or ())
    try:
        with quiet_libraries():
            peft_model = get_peft_model(model, config)
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and model.device.type == "meta":
            raise  # It has to see the weights, which are not there yet.
        if is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{field}: peft cannot add {fields.peft_type.value} to model type "
            f"{model.config.model_type!r} [{reason}]"
        ) from error
    # peft appends "classifier" and "score" to the list, which would be saved as duplicates.
    fields.modules_to_save = wanted
    # A relative path would be looked up from wherever the adapter is loaded later.
    if Path(model.name_or_path).is_dir():
        config.base_model_name_or_path = str(Path(model.name_or_path).resolve())
    _check_trainable(peft_model, wanted)
    return peft_model


def common_fields(*, head: str, head_names: Sequence[str], revision: str | None) -> dict:
    """Fields of every adapter's configuration."""
    return {
        "task_type": find_head(head).task_type,
        "modules_to_save": list(head_names),
        "revision": revision,  # So that others load the same base model.
    }


def find_norms(model: Any, family: Family | None, trainable_layers: int | None) -> list[str]:
    """Full names of the norms: all of them, or those inside the top layers."""
    prefix = backbone_prefix(model)
    names = [
        prefix + name
        for name, module in model.base_model.named_modules()
        if "Norm" in type(module).__name__ and any(True for _ in module.parameters())
    ]
    if trainable_layers is None:
        return names
    assert family is not None
    layer = re.escape(f"{prefix}{family.layers}") + r"\."
    top = re.compile(layer + _layer_index(model, family, trainable_layers) + r"\..+")
    return [name for name in names if top.fullmatch(name)]


def has_transposed(model: Any, targets: str | list[str]) -> bool:
    """Whether the targets are GPT-2's layers, which keep their weights transposed."""
    modules = dict(model.named_modules())
    return any(isinstance(modules[n], Conv1D) for n in _matching(list(modules), targets))


def find_targets(
    model: Any,
    family: Family | None,
    *,
    head_names: Sequence[str],
    target_modules: Sequence[str] | None,
    trainable_layers: int | None,
    among: Sequence[str] | None = None,
) -> str | list[str]:
    """Names the linear layers that an adapter changes; never one of a head.

    Args:
        model: A task model of transformers.
        family: Its entry in the table, or None.
        head_names: Paths of the head modules.
        target_modules: Ends of module names, e.g. ("query", "value"), or ("all-linear",); None for
            the family's own: all linear layers of attention and feed-forward.
        trainable_layers: How many of the top layers; None for all.
        among: The family's own targets, in its table; None for all of its linear layers.

    Returns:
        A regular expression that fits the full names, restricted to the layers of a known family;
        a list of full names for another.

    Raises:
        UserError: A target fits nothing, or the family is unknown and no target is given.
    """
    # A model without a part of its own for the backbone (UMT5) has its output layer among the rest.
    output = model.get_output_embeddings()
    linear = [
        name
        for name, module in model.base_model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not output
    ]
    prefix = backbone_prefix(model)
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
    if family.encoder_layers and trainable_layers is None:
        layer = rf"(?:{layer}|{re.escape(family.encoder_layers)}\.\d+)"
    # "encoder.layer.5.output.dense" -> "output.dense", for the layers that are to be adapted.
    inside = re.compile(rf"{layer}\.(.+)")
    suffixes = list(dict.fromkeys(m.group(1) for name in linear if (m := inside.fullmatch(name))))
    if wanted is None or wanted == (ALL_LINEAR,):
        patterns = [
            re.escape(target).replace(r"\*", r"\d+") for target in among or family.lora_targets
        ]
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
    """The names that end in one of `wanted`; each of these must match some name."""
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
    """Refuses an adapter that trains more than itself and the heads, or that changes a head."""
    config: Any = peft_model.active_peft_config
    prefix = "prompt_encoder."
    if not config.is_prompt_learning:
        prefix = PEFT_TYPE_TO_PREFIX_MAPPING[config.peft_type]
    own = re.compile(rf"(^|\.){re.escape(prefix)}")
    # peft matches names by their end without regard to dots: "score" would also fit "raw_score".
    before = re.compile(r"^base_model\.(model\.)?")
    heads = tuple(f"{name}.modules_to_save." for name in head_names)
    for name, parameter in peft_model.named_parameters():
        path = before.sub("", name)
        if parameter.requires_grad and not own.search(name) and not path.startswith(heads):
            raise UserError(
                f"model_id: peft would also train {path} because its name ends like a head's; "
                "use --method full"
            )
    for name, module in peft_model.named_modules():
        if isinstance(module, BaseTunerLayer) and ".modules_to_save." in f".{name}.":
            raise UserError(
                f"adapter_config: target_modules fits {name}, which is part of the head; the head "
                "is trained in full: name the layers below it"
            )
