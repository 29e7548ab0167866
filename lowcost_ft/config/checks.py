"""What is wrong with a `RunConfig`: every problem at once, in the words of the flags."""

from collections.abc import Callable
from dataclasses import fields
from os import PathLike, fspath
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lowcost_ft.config.arguments import path_problem
from lowcost_ft.config.generation import generation_problems
from lowcost_ft.config.methods import find_method
from lowcost_ft.config.reading import label_conflicts
from lowcost_ft.config.setting import bounds_of
from lowcost_ft.config.settings import Settings
from lowcost_ft.config.tasks import task_settings, unusable_settings
from lowcost_ft.config.values import parse_bytes, split_list, split_seeds

__all__ = ["MORE_CHECKS", "conflict_problems", "range_problems", "settle_types"]

TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")


MORE_CHECKS: list[Callable[[Any], list[str]]] = []
"""What other parts of the package check in the settings, put in when they are imported."""


def settle_types(config: Any) -> list[str]:
    """Converts values of equal meaning (a path, a NumPy number, 3.0 for 3), and reports others.

    Args:
        config: A frozen dataclass, whose annotations say what its fields may hold.

    Returns:
        A problem for each value of another type.
    """
    hints = get_type_hints(type(config))
    problems = []
    for field in fields(config):
        value = getattr(config, field.name)
        for kind in _alternatives(hints[field.name]):
            fits, settled = _settled(value, kind)
            if fits:
                if settled is not value:
                    object.__setattr__(config, field.name, settled)
                break
        else:
            name, hint = field.name, hints[field.name]
            in_memory = path_problem(value, _flag(name)) if name in _PATHS else None
            problems.append(in_memory or f"{_flag(name)} must be {_expected(hint, value)}")
    return problems


_PATHS = ("train_file", "validation_file", "test_file", "dataset")
_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "True or False"}


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _settled(value: Any, kind: Any) -> tuple[bool, Any]:
    """Whether a value can be read as a kind of value, and the value converted to it."""
    if get_origin(kind) is Literal:
        return type(value) in (str, int, bool) and value in get_args(kind), value
    if kind is type(None):
        return value is None, value
    if kind not in _KINDS:  # Nothing is known of it here.
        return True, value
    if kind is str and isinstance(value, PathLike):
        return True, fspath(value)
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    if kind is int and isinstance(value, float) and value.is_integer():
        return True, int(value)
    if isinstance(value, bool):
        return kind is bool, value
    return isinstance(value, int | float if kind is float else kind), value


def _expected(hint: Any, value: Any) -> str:
    """A message that says what a field takes, and what it got instead."""
    expected = []
    for kind in _alternatives(hint):
        if get_origin(kind) is Literal:
            expected.append("one of " + ", ".join(map(str, get_args(kind))))
        elif kind is not type(None):
            expected.append(_KINDS.get(kind, str(kind)))
    got = f"the text {value!r}" if isinstance(value, str) else repr(value)
    text = f"{' or '.join(expected)}, not {got}"
    if str in _alternatives(hint) and isinstance(value, list | tuple | set):
        names = [item for item in value if isinstance(item, str)]
        if names and len(names) == len(value):
            return f"{text}: write the names with commas between them, {','.join(names)!r}"
    return text


def range_problems(config: Settings) -> list[str]:
    """Numbers that lie outside what their fields allow."""
    problems = []
    for field in fields(config):
        value = getattr(config, field.name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if problem := bounds_of(field).problem(value):
            problems.append(f"{_flag(field.name)} {value} {problem}")
    return problems


def conflict_problems(config: Settings) -> list[str]:
    """Settings that exclude, need or contradict one another."""
    return [
        *_data_problems(config),
        *_model_problems(config),
        *_step_problems(config),
        *_output_problems(config),
        *generation_problems(vars(config)),
        *(problem for check in MORE_CHECKS for problem in check(config)),
    ]


def _data_problems(config: Settings) -> list[str]:
    problems = []
    files = config.validation_file or config.test_file
    if config.dataset and (config.train_file or config.validation_file):
        problems.append(
            "--dataset cannot be used with --train-file or --validation-file: give one or the other"
        )
    if files and not config.dataset and not config.train_file:
        problems.append("--validation-file and --test-file need --train-file")
    if config.dataset_config_name and not config.dataset:
        problems.append("--dataset-config-name needs --dataset")
    half = config.max_length // 2
    if config.window_overlap is not None and config.window_overlap > half:
        problems.append(
            f"--window-overlap {config.window_overlap} is more than half of --max-length: "
            f"at most {half}"
        )
    title = task_settings(config.task).title
    for name, owners in unusable_settings(config.task).items():
        if _changed(config, name):
            problems.append(f"{_flag(name)} is for {owners}, not for {title}")
    return problems + label_conflicts(config)


def _model_problems(config: Settings) -> list[str]:
    problems = []
    if config.cache_frozen_layers and config.trainable_layers is None:
        problems.append(
            "--cache-frozen-layers needs frozen layers: set --trainable-layers K, the number of "
            "top layers to train"
        )
    if not config.cache_frozen_layers:
        for name in _changed(config, "cache_dir", "cache_dtype"):
            problems.append(f"{_flag(name)} needs --cache-frozen-layers")
    if config.stream_frozen_layers:
        problems += _streaming_problems(config)
    return [*problems, *_method_problems(config)]


def _method_problems(config: Settings) -> list[str]:
    """Flags that the method does not use."""
    ranked = ("lora_r", "lora_alpha", "lora_dropout", "lora_start")
    target = ("target_modules",)
    virtual = ("num_virtual_tokens",)
    problems = []
    unused: tuple[str, ...] = ()
    if config.adapter_config is not None:
        method, unused = "--adapter-config", (*ranked, *target, *virtual)
        if config.method != "lora":
            problems.append(
                f"--adapter-config cannot be used with --method {config.method}, which it replaces"
            )
    else:
        entry = find_method(config.method)
        assert entry is not None
        method = f"--method {config.method}"
        unused += () if entry.ranked else ranked
        if entry.ranked and config.lora_start != "random" and not entry.starts_anywhere:
            problems.append(
                f"--lora-start {config.lora_start} is for lora and rslora, and --method "
                f"{config.method} begins otherwise or was not tried with it; leave one of them out"
            )
        unused += () if entry.targets else target
        unused += () if entry.virtual_tokens else virtual
        unused += () if entry.layers else ("trainable_layers",)
    if changed := _changed(config, *unused):
        flags = ", ".join(_flag(name) for name in changed)
        problems.append(f"{method} does not use these settings: remove {flags}")
    if config.method == "full" and config.quantization != "none":
        problems.append(
            f"--method full cannot train {config.quantization} weights, which have no gradient: "
            "remove --quantization, or train an adapter (--method lora)"
        )
    return problems


def _streaming_problems(config: Settings) -> list[str]:
    problems = []
    if not config.cache_frozen_layers:
        problems.append("--stream-frozen-layers needs --cache-frozen-layers")
    if config.method == "full":
        problems.append(
            "--stream-frozen-layers never holds the whole model, and --method full saves it: train "
            "an adapter (--method lora)"
        )
    if config.quantization != "none":
        problems.append(
            f"--stream-frozen-layers does not read {config.quantization} weights: remove "
            "--quantization (one layer at a time is small)"
        )
    return problems


def _step_problems(config: Settings) -> list[str]:
    problems = []
    pieces, budget = config.gradient_accumulation_steps, config.memory_budget
    if budget is not None:
        try:
            size = parse_bytes(budget)
        except ValueError as error:
            problems.append(f"--memory-budget {error}")
        else:
            if size < 1000:
                problems.append(
                    f"--memory-budget {budget} is {size:,} bytes, too few for any model: "
                    "give the unit, as in 8GiB or 900MB"
                )
        if pieces:
            problems.append(
                "--memory-budget decides how a step is cut up: remove --gradient-accumulation-steps"
            )
        if config.torch_compile:
            problems.append(
                "--memory-budget cannot predict compiled layers: remove --torch-compile"
            )
    elif config.allow_model_change:
        problems.append("--allow-model-change needs --memory-budget")
    if pieces and pieces > config.batch_size:
        problems.append(
            f"--gradient-accumulation-steps {pieces} is more than the {config.batch_size} examples "
            "of an optimizer step (--batch-size)"
        )
    tokens = config.micro_batch_tokens
    if pieces and tokens != "auto":
        problems.append(
            "--gradient-accumulation-steps and --micro-batch-tokens both decide how a step is cut "
            "up: give one of them"
        )
    elif pieces is None and not budget and tokens != "auto" and tokens < config.max_length:
        problems.append(
            f"--micro-batch-tokens {tokens} cannot hold one example of "
            f"--max-length {config.max_length}: raise it to {config.max_length} or more"
        )
    return problems


def _output_problems(config: Settings) -> list[str]:
    known = ", ".join(TRACKERS)
    problems = []
    if config.resume and config.overwrite:
        problems.append("--resume continues a run, --overwrite replaces it: give one of them")
    if config.seeds is not None:
        try:
            split_seeds(config.seeds)
        except ValueError as error:
            problems.append(f"--seeds {error}")
        if _changed(config, "seed"):
            problems.append("--seed is for one run, --seeds for several: give one of them")
    return problems + [
        f"unknown tracker {tracker!r} in --report-to; known: {known}"
        for tracker in split_list(config.report_to) or ()
        if tracker not in TRACKERS
    ]


def _changed(config: Settings, *names: str) -> list[str]:
    """The fields whose value is not the default."""
    defaults = {field.name: field.default for field in fields(config)}
    return [name for name in names if getattr(config, name) != defaults[name]]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
