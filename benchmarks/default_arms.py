"""The arms of `defaults.py`: a method, settings, and what there is no setting for."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from default_sets import PanelSet

import lowcost_ft as ft
from lowcost_ft.models import base
from lowcost_ft.pipeline import train
from lowcost_ft.tasks.choices import Choosing
from lowcost_ft.training import loop

__all__ = ["changed", "config_of", "rate_of", "settings_of"]


def value_of(text: str) -> Any:
    """A setting as it is written in an arm: a number where it can be one."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def settings_of(parts: Iterable[str], bare: str = "") -> dict[str, Any]:
    """The settings of an arm's parts, such as lora_start=gradient; a bare number is of `bare`."""
    pairs = [part if "=" in part else f"{bare}={part}" for part in parts if part]
    return {name: value_of(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def config_of(
    arm: str, one: PanelSet, seed: int, folder: str, rows: int
) -> tuple[ft.RunConfig, dict[str, Any]]:
    """The settings of an arm for so many rows, and what it has that is no setting."""
    method, *given = arm.split(":")
    fields = settings_of(given)
    special = {
        name: fields.pop(name, None)
        for name in ("b_ratio", "frozen_pooler", "output_rate", "zero_bias")
    }
    if steps := fields.pop("least_steps", 0):
        fields["num_train_epochs"] = max(6, -(-steps // -(-rows // fields.get("batch_size", 16))))
    # The last epoch counts: early stopping would make arms differ in what they cost.
    fields = {"num_train_epochs": 6, "early_stopping_patience": 0} | fields
    fields |= {"method": method, "output_dir": folder, "num_threads": 1}
    return ft.RunConfig(task=one.task, seed=seed, **fields), special


@contextlib.contextmanager
def rate_of(part: str, rate: float | None, *, times: bool = False) -> Iterator[None]:
    """Trains the parameters whose paths contain a part at a rate of their own; None: as usual.

    Args:
        part: Of their paths, such as "lora_B", which LoRA+ trains faster than A (Hayou, Ghosh and
            Yu 2024, LoRA+: Efficient Low Rank Adaptation of Large Models).
        rate: Their peak rate.
        times: Whether it is a multiple of the usual one.
    """
    as_usual = loop.parameter_groups

    def groups(parameters: Any, *, learning_rate: float, **others: Any) -> list[dict]:
        assert rate is not None
        named = list(parameters)
        own = [(name, one) for name, one in named if part in f".{name}"]
        rest = [(name, one) for name, one in named if part not in f".{name}"]
        of_own = others if times else others | {"head_learning_rate": rate}
        return [
            *as_usual(rest, learning_rate=learning_rate, **others),
            *as_usual(own, learning_rate=learning_rate * rate if times else rate, **of_own),
        ]

    loop.parameter_groups = groups if rate else as_usual
    try:
        yield
    finally:
        loop.parameter_groups = as_usual


@contextlib.contextmanager
def changed(
    every: int,
    epochs: int,
    *,
    b_ratio: float | None,
    frozen_pooler: bool | None,
    output_rate: float | None,
    zero_bias: bool | None,
) -> Iterator[None]:
    """Does what an arm has that is no setting, and scores validation only now and then."""
    validation_as_usual = train._validation
    heads_as_usual, outputs_as_usual = base.find_heads, Choosing.usual_outputs

    def validation(run: Any, data: Any, cache: Any, result: Any) -> Any:
        score = validation_as_usual(run, data, cache, result)

        def validate(model: Any) -> dict[str, Any]:
            done = len(result.validation_history) + 1
            if done % every and done < epochs:
                return {data.task.metric: -1.0, "loss": 1e9}  # Not scored, and never the best.
            return score(model)

        return validate

    def heads_alone(*arguments: Any) -> Any:
        names, beside, notices = heads_as_usual(*arguments)
        return tuple(name for name in names if "pooler" not in name), beside, notices

    if frozen_pooler:
        base.find_heads = heads_alone  # type: ignore[assignment]
    if zero_bias:
        Choosing.usual_outputs = lambda task, features: None  # type: ignore
    train._validation = validation
    try:
        with rate_of("lora_B", b_ratio, times=True), rate_of(".classifier.", output_rate):
            yield
    finally:
        train._validation = validation_as_usual
        base.find_heads = heads_as_usual
        Choosing.usual_outputs = outputs_as_usual  # type: ignore
