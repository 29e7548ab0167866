"""An `adapter_config.json` of peft, of any kind, as the adapter of a run: obeyed or refused."""

import difflib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from peft import AdaLoraConfig, PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from lowcost_ft.errors import UserError
from lowcost_ft.models.adalora import with_steps

__all__ = ["check_adapter_config", "method_like", "read_adapter_config"]
__all__ += ["read_adapter_file"]

_NEEDS_DATA = ("eva", "corda", "loftq")
"""Values of `init_lora_weights` that peft cannot compute from the weights alone."""

_UNUSABLE = {
    **dict.fromkeys(("MULTITASK_PROMPT_TUNING", "POLY"), "needs a task number with each text"),
    "SHADOW": "passes on states of its own, which the head of a task model cannot use",
}
"""Kinds of adapters that peft can add and these tasks cannot train."""

_LIKE = {
    **dict.fromkeys(("PREFIX_TUNING", "CARTRIDGE"), "prefix"),
    **dict.fromkeys(("PROMPT_TUNING", "P_TUNING"), "prompt"),
    "BEFT": "bias",
    "OFT": "oft",
}
"""Methods of the table that cannot work where these cannot, either."""

_ON_QUANTIZED = {
    **dict.fromkeys(
        (
            *("ADALORA", "BEFT", "BOFT", "CARTRIDGE", "FOURIERFT", "IA3", "LN_TUNING", "LORA"),
            *("MISS", "OFT", "PREFIX_TUNING", "PROMPT_TUNING", "PVERA", "P_TUNING", "RANDLORA"),
            *("ROAD", "UNILORA", "VBLORA", "VERA", "WAVEFT"),
        ),
        ("int8", "8bit", "nf4"),
    ),
    **dict.fromkeys(("LILY", "LOHA", "LOKR"), ("int8", "8bit")),
    **dict.fromkeys(("C3A", "GRALORA"), ("int8",)),
    "HIRA": ("8bit", "nf4"),
}
"""Kinds of adapters that work with quantized weights, and with which. The others take the codes for
the weights: some stop with an error, and some (HRA, PEANUT) compute another function in silence."""

_ABOUT_ITS_ORIGIN = {
    *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision")
}
_HEADS_OF_OTHERS = ("classifier", "score")
"""peft writes both into `modules_to_save` for every classifier, whichever it has."""


def read_adapter_config(
    path: str | Path, model: Any, *, common: dict[str, Any], quantization: str = "none"
) -> PeftConfig:
    """Reads the configuration of an adapter.

    Args:
        path: The file, or the folder that holds it.
        model: A task model of transformers, without adapters.
        common: Fields that the run decides (`common_fields`).
        quantization: How the frozen weights are held.

    Raises:
        UserError: It is not such a file, it is about another task, or it holds what peft does not
            know, or what this model or a head cannot be trained with.
    """
    file, values = read_adapter_file(path)
    kind = str(values.pop("peft_type", None))
    classes = {known.value: config for known, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    config_class = classes.get(kind)
    if config_class is None:
        known = ", ".join(sorted(classes))
        raise UserError(f"adapter_config: {file}: peft_type {kind!r} is not one of {known}")
    known_fields = {field.name for field in fields(config_class)}
    values = {name: value for name, value in values.items() if name not in _ABOUT_ITS_ORIGIN}
    problems = [_unknown(name, known_fields, kind) for name in values if name not in known_fields]
    if reason := _UNUSABLE.get(kind):
        problems.append(f"{kind} {reason}; choose another kind")
    elif "modules_to_save" not in known_fields:
        problems.append(f"{kind} cannot train a new head beside it; choose another kind")
    task = values.pop("task_type", None)
    if task not in (None, common["task_type"]):
        problems.append(
            f"task_type {task} is not this run's ({common['task_type'].value}): if the adapter "
            "suits this task, too, delete the line"
        )
    modules = set(values.get("modules_to_save") or ())
    names = [name for name, _ in model.named_modules()]
    for name in sorted(modules.difference(_HEADS_OF_OTHERS)):
        if not any(n == name or n.endswith(f".{name}") for n in names):
            problems.append(f"modules_to_save: the model has no {name!r}; delete it")
    if str(init := values.get("init_lora_weights", "")).lower().startswith(_NEEDS_DATA):
        problems.append(
            f"init_lora_weights {init!r} cannot be computed from the weights alone; choose another "
            "(--method loftq makes up for quantization)"
        )
    if values.get("bias", "none") != "none":
        problems.append(
            f"bias {values['bias']!r} would train the model's own biases, which are not saved with "
            'an adapter here; write "none" (--method bias trains biases)'
        )
    if quantization != "none":
        problems += _problems_on_quantized(kind, values, quantization)
    if problems:
        raise UserError([f"adapter_config: {file}: {problem}" for problem in problems])
    heads = common["modules_to_save"]
    more = sorted(modules.difference(heads, _HEADS_OF_OTHERS))
    if config_class is AdaLoraConfig:
        values = with_steps(values)
    try:
        return config_class(**(values | common | {"modules_to_save": [*heads, *more]}))
    except (TypeError, ValueError) as error:
        raise UserError(f"adapter_config: {file} does not fit peft's {kind} [{error}]") from None


def _problems_on_quantized(kind: str, values: dict[str, Any], quantization: str) -> list[str]:
    """What in the file of an adapter would read the codes of quantized weights as weights."""
    reads = f"reads the frozen weights, which {quantization} holds as codes"
    instead = "leave --quantization out, or choose another"
    if kind not in _UNUSABLE and quantization not in _ON_QUANTIZED.get(kind, ()):
        return [f"{kind} {reads}: {instead} kind, such as LORA"]
    problems = []
    for name, value in (("init_lora_weights", "orthogonal"), ("init_weights", "bat")):
        if values.get(name) == value:
            problems.append(f"{name} {value!r} {reads}: {instead}")
    if values.get("target_parameters"):
        problems.append(f"target_parameters {reads}: {instead}, or name target_modules")
    return problems


def check_adapter_config(config: PeftConfig, path: str) -> None:
    """Refuses a configuration that peft has completed to one that it would not read again.

    Raises:
        UserError: A run with it could be trained, and not reloaded.
    """
    try:
        type(config)(**config.to_dict())
    except (TypeError, ValueError) as error:
        raise UserError(
            f"adapter_config: {path}: the defaults of fields that it leaves out contradict the "
            f"fields that it sets [{error}]; set both"
        ) from None


def method_like(path: str | Path) -> str:
    """The method of the table whose refusals hold for the adapter of a file; "" for none."""
    _, values = read_adapter_file(path)
    start = str(values.get("init_lora_weights", "")).lower()
    for method in ("pissa", "olora"):
        if start.startswith(method):
            return method
    return _LIKE.get(str(values.get("peft_type")), "")


def read_adapter_file(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """The file that `path`, perhaps a folder, stands for, and the object in it.

    Raises:
        UserError: There is none.
    """
    file = Path(path)
    file = file / "adapter_config.json" if file.is_dir() else file
    try:
        values = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"adapter_config: {file} does not exist") from None
    except (OSError, ValueError) as error:
        raise UserError(f"adapter_config: {file} cannot be read as JSON [{error}]") from None
    if not isinstance(values, dict):
        raise UserError(f"adapter_config: {file} holds no JSON object, but a list or a value")
    return file, values


def _unknown(name: str, known: set[str], kind: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"peft's {kind} has no field {name!r}{meant}"
