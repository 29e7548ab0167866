"""What `compare_speed.py` compares: ways of training one model on the same data, step by step.

Each arm runs optimizer steps of the same number of examples and says how long they took. An arm of
ours is the package's own step on its own plan; the others are in `usual_arms.py`.
"""

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from typing import Any, Protocol

import lowcost_ft  # noqa: F401 - before peft: it keeps bitsandbytes quiet

# isort: split
import torch
from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import Features
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.cache import CachedStates, cached_layers
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.frozen_precision import hold_frozen_weights
from lowcost_ft.models.loading import build_model, forward_module
from lowcost_ft.models.quantization import compute_dtype
from lowcost_ft.planning.micro_batches import whole_step_tokens
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.compilation import check_compiler, compiled_layers, without_compiling
from lowcost_ft.training.optimizer import build_optimizer, parameter_groups
from lowcost_ft.training.step_plan import PlannedStep, planned_steps
from lowcost_ft.training.step_replay import rehearse
from lowcost_ft.training.steps import StepRunner

WARM_UP_STEPS = 2
LEARNING_RATES = {"lora": 1e-3, "full": 1e-4}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all arms share."""

    accelerator: Accelerator
    model_id: str
    task: Task
    tokenizer: Any
    features: Features
    config: RunConfig
    query_value: tuple[str, ...]
    """Names of the query and value layers, for the adapter of the usual example."""


@dataclass(kw_only=True)
class Timing:
    """Some optimizer steps of one arm."""

    seconds: float
    steps: int
    examples: int
    real_tokens: int
    padded_tokens: int


class Arm(Protocol):
    """One way of training."""

    facts: dict[str, Any]
    """What is known of it beside its speed, for the results."""

    def run(self, steps: int, *, part: int) -> Timing:
        """Trains a few steps to warm up and then `steps` timed ones; `part` picks other data."""


class OurArm:
    """The package's own step: length-sorted micro-batches under a token budget."""

    def __init__(self, setting: Setting, *, cache_dir: str | None = None, **changes: Any) -> None:
        """
        Args:
            setting: What all arms share.
            cache_dir: Where the states of frozen layers go; None: the layers run every time.
            changes: Fields of the configuration that this arm has otherwise.
        """
        self.setting = setting
        self.config = config = replace(setting.config, **changes)
        names = config.target_modules
        built = build_model(
            setting.model_id,
            head=setting.task.head,
            labels=setting.task.labels,
            problem_type=setting.task.problem_type,
            method=config.method,
            target_modules=tuple(names.split(",")) if names else None,
            trainable_layers=config.trainable_layers,
            dropout=config.model_dropout,
            quantization=config.quantization,
            pad_token_id=setting.tokenizer.pad_token_id,
        )
        self.head_names = built.head_names
        hold_frozen_weights(
            built.model,
            compute_dtype(setting.accelerator.mixed_precision),
            family=built.family,
            top_layers=config.trainable_layers if cache_dir else None,
        )
        self.model = forward_module(built.model).to(setting.accelerator.device)
        self.facts: dict[str, Any] = {"changes": {"cache": bool(cache_dir), **changes}}
        self.cached: CachedStates | None = None
        self.inside: Callable[[], AbstractContextManager] = contextlib.nullcontext
        if cache_dir:
            self._fill_cache(cache_dir, built.family)
        elif config.torch_compile:
            if built.family is None:
                raise UserError(f"{setting.model_id}: its layers cannot be compiled")
            check_compiler()
            self.inside = partial(compiled_layers, layer_list(self.model, built.family))
        self.steps = self._plan()
        real = sum(step.real_tokens for step in self.steps)
        padded = sum(step.padded_tokens for step in self.steps)
        self.facts["padding_share_of_an_epoch"] = round(1 - real / padded, 4)
        self._rehearse()

    def run(self, steps: int, *, part: int) -> Timing:
        # Larger steps are fewer, but two: of about as many examples.
        steps = max(2, steps * self.setting.config.batch_size // self.config.batch_size)
        start = part * (steps + WARM_UP_STEPS) % len(self.steps)
        chosen = list(islice(cycle(self.steps), start, start + WARM_UP_STEPS + steps))
        with self.inside():
            runner, optimizer = self._runner(), self._optimizer()
            self.model.train()
            for step in chosen[:WARM_UP_STEPS]:
                runner.step(optimizer, step)
            chosen = chosen[WARM_UP_STEPS:]
            started = seconds_now(self.setting.accelerator.device)
            for step in chosen:
                runner.step(optimizer, step)
            seconds = seconds_now(self.setting.accelerator.device) - started
        return Timing(
            seconds=seconds,
            steps=len(chosen),
            examples=sum(step.examples for step in chosen),
            real_tokens=sum(step.real_tokens for step in chosen),
            padded_tokens=sum(step.padded_tokens for step in chosen),
        )

    def _plan(self) -> list[PlannedStep]:
        one_epoch = replace(self.config, num_train_epochs=1, max_steps=None)
        if self.setting.accelerator.device.type == "cuda":  # As a run does where memory is enough.
            steps = planned_steps(self.setting.features, one_epoch, 1)
            one_epoch = one_epoch.with_cut(whole_step_tokens(steps))
        return list(planned_steps(self.setting.features, one_epoch, 1))

    def _runner(self) -> StepRunner:
        return StepRunner(
            self.setting.accelerator,
            self.model,
            self.setting.task,
            self.setting.features,
            pad_token_id=self.setting.tokenizer.pad_token_id,
            max_grad_norm=self.config.max_grad_norm,
            cached=self.cached,
        )

    def _optimizer(self) -> torch.optim.Optimizer:
        groups = parameter_groups(
            self.model.named_parameters(),
            head_names=self.head_names,
            learning_rate=LEARNING_RATES[self.config.method],
            head_learning_rate=None,
            weight_decay=self.config.weight_decay,
        )
        return build_optimizer(groups, name="adamw", device=self.setting.accelerator.device)

    def _fill_cache(self, cache_dir: str, family: Any) -> None:
        assert self.config.trainable_layers is not None
        context = cached_layers(
            self.setting.accelerator,
            self.model,
            family,
            {"train": self.setting.features},
            trainable_layers=self.config.trainable_layers,
            head_names=self.head_names,
            model_id=self.setting.model_id,
            max_length=self.config.max_length,
            pad_token_id=self.setting.tokenizer.pad_token_id,
            micro_batch_tokens=self.config.settled_micro_batch_tokens,
            cache_dir=cache_dir,
            say=lambda text: None,
        )
        with context as report:
            self.cached = report.states["train"]
            self.facts["cache_seconds"] = round(report.seconds, 2)
            self.facts["cache_bytes"] = report.num_bytes
        self.inside = self.cached.part.taken_out

    def _rehearse(self) -> None:
        """Peak memory, and floating-point operations of a padded token."""
        device = self.setting.accelerator.device
        with self.inside():
            self.model.train()
            if device.type == "cpu":
                peak = rehearse(self._runner(), iter(self.steps), self._optimizer)
                self.facts["peak_memory_bytes"] = peak
            runner, optimizer = self._runner(), self._optimizer()
            some = self.steps[:: max(1, len(self.steps) // 4)][:4]
            with without_compiling(), FlopCounterMode(display=False) as counter:
                for step in some:
                    runner.step(optimizer, step)
        tokens = sum(step.padded_tokens for step in some)
        self.facts["flops_a_padded_token"] = round(counter.get_total_flops() / tokens)


def seconds_now(device: torch.device) -> float:
    """The time, once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
