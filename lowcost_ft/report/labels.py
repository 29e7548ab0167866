"""Names: of a row among those that it is compared with, of methods, models, data and devices."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from lowcost_ft.config.methods import METHODS, find_method
from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.settings import USUAL_MICRO_BATCH_TOKENS
from lowcost_ft.config.tasks import task_names, task_settings
from lowcost_ft.record.prediction_tokens import LEFT_OPEN
from lowcost_ft.report.collect import Result
from lowcost_ft.scores.metric_names import metric_title

__all__ = ["NOT_A_SETTING", "data_name", "device", "dropout_text", "known_settings", "metric_name"]
__all__ += ["row_labels", "short_model", "training_length", "unusual_dropout"]

# What a setting was in a record that is older than the setting.
_DEFAULTS = {field.name: field.default for field in fields(RunConfig)} | {
    "dropout": "model",
    "ema": 0.0,
}

# What may differ between the runs of a row: their place, and what only shows or repeats them.
NOT_A_SETTING = (
    *("seed", "output_dir", "overwrite", "report_to", "debug", "num_threads", "cache_dir"),
    *("train_file", "validation_file", "test_file", "dataset", "resume", "seeds"),
)
_TOLD_ANYWAY = (*NOT_A_SETTING, "num_train_epochs", "max_steps", "dropout")
_METHODS = {method.name: method.title for method in METHODS} | {
    "trainer-peft": "Trainer + peft (query, value)",
    "trainer-peft-tuned": "Trainer + peft, tuned (query, value)",
}
_QUANTIZATIONS = {"int8": "int8", "8bit": "8-bit", "nf4": "NF4"}


def metric_name(metric: str | None) -> str:
    """A score's name to show."""
    return metric_title(str(metric))


def row_labels(groups: Sequence[list[Result]]) -> list[str]:
    """A label a group: method and precision, and whatever else is needed to tell it apart."""
    firsts = [group[0] for group in groups]
    several = len({str(first.get("model_id")) for first in firsts}) > 1
    dropouts = {unusual_dropout(first) for first in firsts}
    labels = [_method_label(first, with_dropout=len(dropouts) > 1) for first in firsts]
    if several:
        labels = [
            f"{label}, {short_model(str(first.get('model_id')))}"
            for label, first in zip(labels, firsts, strict=True)
        ]
    rates = _unusual_rates(firsts)
    labels = [
        f"{label}, learning rate {rate}" if rate else label
        for label, rate in zip(labels, rates, strict=True)
    ]
    alike: dict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        alike[label].append(index)
    lengths = [training_length(first) for first in firsts]
    if len(set(lengths)) > 1:
        labels = [f"{label}, {length}" for label, length in zip(labels, lengths, strict=True)]
    for group in (indices for indices in alike.values() if len(indices) > 1):
        configs = [
            known_settings(firsts[i])
            | {"threads": firsts[i].get("hardware", "threads"), "device": device(firsts[i])}
            for i in group
        ]
        for name in dict.fromkeys(key for config in configs for key in config):
            values = [config.get(name) for config in configs]
            if name in _TOLD_ANYWAY or len(set(map(str, values))) == 1:
                continue
            for index, value in zip(group, values, strict=True):
                labels[index] += f", {_told(name, value)}"
    return labels


def _told(name: str, value: Any) -> str:
    if isinstance(value, bool):  # A flag that was given, or was not.
        return f"{'' if value else 'no '}--{name.replace('_', '-')}"
    return f"{name} {value}"


def _unusual_rates(firsts: Sequence[Result]) -> list[Any]:
    """The learning rates that are not those of most rows of the method; None for the others.

    Methods have rates of their own by default, and so have models of other widths.
    """
    kinds = [(str(first.get("method")), str(first.get("model_id"))) for first in firsts]
    rates = [first.get("config", "learning_rate") for first in firsts]
    usual = {
        kind: statistics.mode(str(r) for k, r in zip(kinds, rates, strict=True) if k == kind)
        for kind in set(kinds)
    }
    return [
        rate if str(rate) != usual[kind] else None for kind, rate in zip(kinds, rates, strict=True)
    ]


def data_name(result: Result) -> str:
    """The training data, without the folders of somebody's machine."""
    source = result.get("config", "dataset") or result.get("config", "train_file")
    return "/".join(Path(str(source)).parts[-2:]) if source else "embedded sample"


def device(result: Result) -> str:
    """The GPUs of a run, or its CPU."""
    if result.get("train", "peak_memory_source") != "cpu_allocator":
        names = [str(gpu.get("name")) for gpu in result.rows("hardware", "gpus")]
        if names:
            return ", ".join(names)
    return str(result.get("hardware", "cpu") or "unknown device")


def known_settings(result: Result) -> dict[str, Any]:
    """The settings of a run, those that it is older than included."""
    settings: dict[str, Any] = _DEFAULTS | result.table("config")
    dropout: Any = settings["dropout"]
    if "micro_batch_tokens" not in result.table("config"):
        settings["micro_batch_tokens"] = USUAL_MICRO_BATCH_TOKENS
    elif "micro_batch_tokens" in (result.get(LEFT_OPEN) or ()):
        # On a GPU the number follows the data, whose order follows the seed.
        on_cpu = result.get("train", "peak_memory_source") == "cpu_allocator"
        settings["micro_batch_tokens"] = settings["micro_batch_tokens"] if on_cpu else "auto"
    if settings["validate_every_epochs"] == "auto":  # As in records older than the setting.
        settings["validate_every_epochs"] = 1
    method = find_method(settings["method"])
    if method is not None and not method.ranked:
        # What a method does not use tells no runs apart, such as an older default of it.
        settings |= {name: _DEFAULTS[name] for name in ("lora_r", "lora_alpha", "lora_dropout")}
    # Older records hold None.
    settings["ema"] = settings["ema"] or 0.0
    settings["dropout"] = float(dropout) if isinstance(dropout, int | float) else "model"
    return settings


def training_length(result: Result) -> str:
    """How long a run trained: `3 epochs`, `40 steps`."""
    config = known_settings(result)
    if (steps := config["max_steps"]) is not None:
        return f"{steps:,} step{'s' * (steps != 1)}"
    epochs = config["num_train_epochs"]
    if epochs == "auto":  # A run that ended before it had read the data.
        return "epochs by the data"
    return f"{epochs} epoch{'s' * (epochs != 1)}"


def unusual_dropout(result: Result) -> float | str | None:
    """The dropout of a run; None where it is what its task has without being told."""
    dropout = known_settings(result)["dropout"]
    task = str(result.get("task"))
    usual = task_settings(task).dropout if task in task_names() else 0.0
    return None if dropout == usual else dropout


def short_model(model_id: str) -> str:
    """`sentence-transformers/all-MiniLM-L6-v2` as `all-MiniLM-L6-v2`."""
    return model_id.rstrip("/").rpartition("/")[2] or model_id


def dropout_text(dropout: float | str | None) -> str:
    """In words what `unusual_dropout` returned."""
    told = {None: "", "model": "the model's dropout", 0.0: "no dropout"}
    return told.get(dropout, f"dropout {dropout}")


def _method_label(result: Result, *, with_dropout: bool) -> str:
    method = str(result.get("method"))
    parts = [_METHODS.get(method, method)]
    quantization = result.get("config", "quantization")
    if quantization not in (None, "none"):
        parts[0] = f"{_QUANTIZATIONS.get(quantization, quantization)} {parts[0]}"
    layers = result.get("config", "trainable_layers")
    if layers is not None:
        cached = ", cached" if result.get("config", "cache_frozen_layers") else ""
        parts.append(f"top {layers} layers{cached}")
    if with_dropout and (dropout := dropout_text(unusual_dropout(result))):
        parts.append(dropout)
    if result.get("config", "gradient_checkpointing"):
        parts.append("checkpointed")
    return ", ".join(parts)
