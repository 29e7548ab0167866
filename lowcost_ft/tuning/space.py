"""What a tuning run tries: the settings and their values, and the flags that give them."""

import json
import math
import shlex
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from lowcost_ft.config.methods import find_method
from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.setting import deciding
from lowcost_ft.config.settings import DataConfig
from lowcost_ft.errors import UserError

__all__ = ["Space", "default_params", "default_space", "distributions", "flags_of"]
__all__ += ["command_of", "read_space", "settled"]

Space = Mapping[str, Any]
"""Setting -> the list of its values, or `{"low", "high", "log", "step"}` of a number."""

_FIXED = frozenset(
    {
        *("task", "model_id", "revision", "adapter_config", "seed", "stream_frozen_layers"),
        *("num_train_epochs", "max_steps", "validate_every_epochs", "early_stopping_patience"),
        *(field.name for field in fields(DataConfig)),
    }
)
"""Settings that all trials have in common: data, model, and the length that halving cuts up."""
_LORA_LIKE = ("lora", "dora")
_ATTENTION = ("query", "value", "q_proj", "v_proj", "q_lin", "v_lin", "query_proj", "value_proj")
_TOGETHER = ("Wqkv", "c_attn")
"""Layers that compute query, key and value at once."""


def default_space(config: RunConfig) -> dict[str, Any]:
    """What is tried where no file says it: around the recipe's own settings.

    Args:
        config: The recipe's settings.
    """
    from lowcost_ft.models.families import find_family
    from lowcost_ft.models.hub import load_config
    from lowcost_ft.tasks import task_class
    from lowcost_ft.training.optimizer import default_learning_rate

    described = load_config(
        config.model_id, revision=config.revision, trust_remote_code=config.trust_remote_code
    ).get_text_config()
    family, method = find_family(described), find_method(config.method)
    rate = config.learning_rate or default_learning_rate(
        config.method,
        described.hidden_size,
        post_norm=family is not None and family.post_norm,
        sequence_level=task_class(config.task).sequence_level(),
        decoder_translates=task_class(config.task).translates and not described.is_encoder_decoder,
    )
    space: dict[str, Any] = {
        "learning_rate": {"low": rate / 4, "high": rate * 4, "log": True},
        "batch_size": _with([8, 16, 32], config.batch_size),
        "dropout": _with([0.0, 0.1], config.dropout),
    }
    if config.adapter_config is not None or method is None:
        return space
    if config.method in _LORA_LIKE:
        space["method"] = list(_LORA_LIKE)
    if method.ranked:
        space["lora_r"] = _with([8, 16, 32, 64], config.lora_r)
    if method.targets and family is not None and config.method in _LORA_LIKE:
        few = [
            target.rpartition(".")[2]
            for target in family.lora_targets
            if target.endswith((*_ATTENTION, *_TOGETHER))
        ]
        if few:
            space["target_modules"] = _with([None, ",".join(few)], config.target_modules)
    layers = getattr(described, "num_hidden_layers", 0)
    if method.layers and family is not None and not family.shared_layers and layers > 2:
        some = {None, math.ceil(layers / 2), math.ceil(layers / 3), config.trainable_layers}
        space["trainable_layers"] = sorted(some, key=lambda k: (k is not None, k or 0))
    return space


def _with(values: list[Any], own: Any) -> list[Any]:
    return values if own in values else [own, *values]


def read_space(path: str, config: RunConfig) -> dict[str, Any]:
    """Reads a file such as `{"lora_r": [8, 16], "learning_rate": {"low": 1e-4, "high": 1e-2}}`.

    Args:
        path: A JSON file.
        config: The recipe's settings.

    Raises:
        UserError: Everything that is wrong in it.
    """
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(name for name, _ in pairs)
        repeated.extend(name for name, count in counts.items() if count > 1)
        return dict(pairs)

    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        found = json.loads(text, object_pairs_hook=unique)
    except OSError as error:
        raise UserError(f"--search {path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"--search {path} is not JSON: {error}") from None
    if not isinstance(found, dict) or not found:
        raise UserError(f'--search {path}: write an object such as {{"lora_r": [8, 16, 32]}}')
    known = [name for name in deciding(config) if name not in _FIXED]
    problems = [f"{name} is there twice: keep one of them" for name in repeated]
    for name, values in found.items():
        if name in _FIXED:
            problems.append(f"{name} is the same in all trials: set it by its flag instead")
        elif name not in known:
            problems.append(f"{name} is no setting; known: {', '.join(sorted(known))}")
        else:
            others = {other: _tried(found[other]) for other in known if other in found}
            del others[name]
            problems += _values_problems(name, values, config, others)
    if problems:
        raise UserError([f"--search {path}: {problem}" for problem in problems])
    return found


def _tried(values: Any) -> list[Any]:
    """The values of a setting, or the ends of its range; none where these are wrong."""
    if isinstance(values, dict):
        values = [values.get("low"), values.get("high")]
    return values if isinstance(values, list) else []


def _values_problems(
    name: str, values: Any, config: RunConfig, others: Mapping[str, list[Any]]
) -> list[str]:
    if isinstance(values, list):
        if len(values) < 2 or len({json.dumps(value) for value in values}) < len(values):
            return [f"{name} needs two values or more, each once, not {json.dumps(values)}"]
        tried = values
    elif isinstance(values, dict):
        extra = set(values) - {"low", "high", "log", "step"}
        ends = [values.get("low"), values.get("high")]
        if extra or not all(map(_is_number, ends)) or values.get("log") not in (None, True, False):
            return [f'{name}: write {{"low": NUMBER, "high": NUMBER, "log": true or false}}']
        low, high = map(float, ends)  # type: ignore[arg-type]
        if not low < high or (values.get("log") and low <= 0):
            return [f"{name}: low must be below high, and above 0 on a logarithmic scale"]
        if values.get("log") and values.get("step") is not None:
            return [f"{name}: give log or step, not both"]
        if values.get("step") is not None and not (
            _is_number(values["step"]) and values["step"] > 0
        ):
            return [f"{name}: step must be a number above 0"]
        if _is_whole(name) and (low % 1 or high % 1 or (values.get("step") or 1) % 1):
            return [f"{name} is a whole number: low, high and step must be, too"]
        if values.get("step") is not None and values["step"] > high - low:
            return [f"{name}: step {values['step']:g} is longer than the way from low to high"]
        tried = [int(end) for end in ends] if _is_whole(name) else ends  # type: ignore[arg-type]
    else:
        return [f"{name}: write a list of values, or low and high"]
    problems = []
    for value in tried:
        found = _own_problems(config, {name: value}, name)
        # What the value of another setting mends or contradicts is told when it is tried.
        beside = ({name: value, other: one} for other, every in others.items() for one in every)
        if found and all(_own_problems(config, params, name) for params in beside):
            problems += [f"{name} {json.dumps(value)}: {text}" for text in found]
    return problems


def _own_problems(config: RunConfig, params: Mapping[str, Any], name: str) -> list[str]:
    """What is wrong with a setting, beside others."""
    try:
        settled(config, params)
    except UserError as error:
        return [text for text in error.problems if _flag(name) in text]
    return []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def distributions(space: Space) -> dict[str, Any]:
    """The space as Optuna has it."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, Any] = {}
    for name, values in space.items():
        if isinstance(values, list):
            found[name] = CategoricalDistribution(values)
            continue
        low, high, log = values["low"], values["high"], bool(values.get("log"))
        step = values.get("step")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The last step may end before `high`.
            if _is_whole(name):
                found[name] = IntDistribution(int(low), int(high), log=log, step=int(step or 1))
            else:
                found[name] = FloatDistribution(float(low), float(high), log=log, step=step)
    return found


def _is_whole(name: str) -> bool:
    """Whether a setting takes whole numbers alone."""
    kinds = get_args(hint := get_type_hints(RunConfig)[name]) or (hint,)
    return int in kinds and float not in kinds


def default_params(config: RunConfig, space: Space, learning_rate: float) -> dict[str, Any]:
    """The recipe's own values of what is tried; without those that lie outside of the space."""
    found = {}
    for name, values in space.items():
        own = learning_rate if name == "learning_rate" else getattr(config, name)
        if isinstance(values, list):
            inside = any(value == own and type(value) is type(own) for value in values)
        else:
            inside = _is_number(own) and values["low"] <= own <= values["high"]
            if inside and (step := values.get("step")) is not None:
                steps = (own - values["low"]) / step
                inside = abs(steps - round(steps)) < 1e-8
        if inside:
            found[name] = own
    return found


def settled(config: RunConfig, params: Mapping[str, Any]) -> RunConfig:
    """The settings of a trial.

    What its method has no use for stays at its default, and layers below the trained ones are
    cached, so that trials with the same layers share them.

    Args:
        config: The recipe's settings.
        params: The values that are tried.

    Raises:
        UserError: They contradict one another.
    """
    changes = dict(params)
    method = find_method(changes.get("method", config.method))
    defaults = {field.name: field.default for field in fields(RunConfig)}
    if method is not None:
        unused = [] if method.ranked else ["lora_r", "lora_alpha", "lora_dropout"]
        unused += [] if method.targets else ["target_modules"]
        unused += [] if method.layers else ["trainable_layers"]
        changes |= {name: defaults[name] for name in unused if name in changes}
    if "trainable_layers" in changes:
        # Texts that change from epoch to epoch have no states to keep.
        changes["cache_frozen_layers"] = changes["trainable_layers"] is not None and (
            getattr(config, "augment", None) is None
        )
        if not changes["cache_frozen_layers"]:
            changes |= {name: defaults[name] for name in ("cache_dir", "cache_dtype")}
    return replace(config, **changes)


def flags_of(config: RunConfig, base: RunConfig) -> list[str]:
    """The flags that make the settings of `config` from those of `base`."""
    flags = []
    for name, value in config.to_dict().items():
        if value == getattr(base, name):
            continue
        if isinstance(value, bool):
            flags.append(_flag(name) if value else "--no-" + name.replace("_", "-"))
        else:
            flags += [_flag(name), "None" if value is None else f"{value}"]
    return flags


def command_of(recipe: str, given: Sequence[str], flags: Sequence[str]) -> str:
    """The command that trains with the settings that were found, each flag given once."""
    found = {_plain(flag) for flag in flags if flag.startswith("--")}
    kept, stays = list[str](), True
    for word in given:
        if word.startswith("--"):
            stays = _plain(word) not in found
        kept += [word] * stays
    return shlex.join(["accelerate", "launch", recipe, *kept, *flags])


def _plain(flag: str) -> str:
    """The setting that a flag is about: `--no-lora_r=8` is about `lora-r`."""
    return flag.partition("=")[0].removeprefix("--").replace("_", "-").removeprefix("no-")
