"""What is wrong with a `RunConfig`: every problem at once, in the words of the flags."""

from dataclasses import fields

from lowcost_ft.config.methods import find_method
from lowcost_ft.config.setting import bounds_of
from lowcost_ft.config.settings import Settings
from lowcost_ft.config.tasks import task_settings, unusable_settings
from lowcost_ft.config.values import parse_bytes, split_list

__all__ = ["conflict_problems", "range_problems"]

TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")


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
    ]


def _data_problems(config: Settings) -> list[str]:
    problems = []
    files = config.validation_file or config.test_file
    if config.dataset and (config.train_file or config.validation_file):
        problems.append("--dataset and --train-file/--validation-file exclude each other")
    if files and not config.dataset and not config.train_file:
        problems.append("--validation-file and --test-file need a --train-file beside them")
    if config.dataset_config_name and not config.dataset:
        problems.append("--dataset-config-name goes with --dataset")
    half = config.max_length // 2
    if config.window_overlap is not None and config.window_overlap > half:
        problems.append(
            f"--window-overlap {config.window_overlap} is more than half of --max-length: "
            f"at most {half}"
        )
    title = task_settings(config.task).title
    for name, owners in unusable_settings(config.task).items():
        if getattr(config, name) is not None:
            problems.append(f"{_flag(name)} is for {owners}, not for {title}")
    return problems


def _model_problems(config: Settings) -> list[str]:
    problems = []
    if config.cache_frozen_layers and config.trainable_layers is None:
        problems.append(
            "--cache-frozen-layers needs frozen layers: say with --trainable-layers K how many of "
            "the top layers train"
        )
    if not config.cache_frozen_layers:
        for name in _changed(config, "cache_dir", "cache_dtype"):
            problems.append(f"{_flag(name)} goes with --cache-frozen-layers")
    if config.stream_frozen_layers:
        problems += _streaming_problems(config)
    return [*problems, *_method_problems(config)]


def _method_problems(config: Settings) -> list[str]:
    """Flags that the method does not use."""
    ranked, target = ("lora_r", "lora_alpha", "lora_dropout"), ("target_modules",)
    virtual = ("num_virtual_tokens",)
    problems = []
    unused: tuple[str, ...] = ()
    if config.adapter_config is not None:
        method, unused = "--adapter-config", (*ranked, *target, *virtual)
        if config.method != "lora":
            problems.append(f"--adapter-config takes the place of --method {config.method}")
    else:
        entry = find_method(config.method)
        assert entry is not None
        method = f"--method {config.method}"
        unused += () if entry.ranked else ranked
        unused += () if entry.targets else target
        unused += () if entry.virtual_tokens else virtual
        unused += () if entry.layers else ("trainable_layers",)
    if changed := _changed(config, *unused):
        flags = ", ".join(_flag(name) for name in changed)
        problems.append(f"{method} does not use what you gave: remove {flags}")
    if config.method == "full" and config.quantization != "none":
        problems.append(
            f"--method full cannot train {config.quantization} weights, which have no gradient: "
            "remove --quantization, or train an adapter (--method lora)"
        )
    return problems


def _streaming_problems(config: Settings) -> list[str]:
    problems = []
    if not config.cache_frozen_layers:
        problems.append("--stream-frozen-layers goes with --cache-frozen-layers")
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
                    f"--memory-budget {budget} is {size:,} bytes, in which no model fits: give "
                    "the unit, as in 8GiB or 900MB"
                )
        if pieces:
            problems.append(
                "--memory-budget decides how a step is cut up: remove --gradient-accumulation-steps"
            )
        if config.torch_compile:
            problems.append(
                "--memory-budget predicts layers that are not compiled: remove --torch-compile"
            )
    elif config.allow_model_change:
        problems.append("--allow-model-change goes with --memory-budget")
    if pieces and pieces > config.batch_size:
        problems.append(
            f"--gradient-accumulation-steps {pieces} is more than the {config.batch_size} examples "
            "of an optimizer step (--batch-size)"
        )
    if pieces and _changed(config, "micro_batch_tokens"):
        problems.append(
            "--gradient-accumulation-steps and --micro-batch-tokens both say how a step is cut "
            "up: give one of them"
        )
    elif pieces is None and not budget and config.micro_batch_tokens < config.max_length:
        problems.append(
            f"--micro-batch-tokens {config.micro_batch_tokens} cannot hold one example of "
            f"--max-length {config.max_length}: raise it to {config.max_length} or more"
        )
    return problems


def _output_problems(config: Settings) -> list[str]:
    known = ", ".join(TRACKERS)
    problems = []
    if config.resume and config.overwrite:
        problems.append("--resume goes on with a run, --overwrite replaces it: give one of them")
    return problems + [
        f"unknown tracker {tracker!r} in --report-to; known: {known}"
        for tracker in split_list(config.report_to) or ()
        if tracker not in TRACKERS
    ]


def _changed(config: Settings, *names: str) -> list[str]:
    """Those of the fields that do not hold their default."""
    defaults = {field.name: field.default for field in fields(config)}
    return [name for name in names if getattr(config, name) != defaults[name]]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
