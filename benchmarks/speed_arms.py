"""What `compare_speed.py` compares: ways of training one model on the same data, step by step.

Each arm runs optimizer steps of the same number of examples and says how long they took. An arm of
ours is the package's own step on its own plan; the two others are written as their documentation
shows them.
"""

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any, Protocol

import lowcost_ft  # noqa: F401 - before peft: it keeps bitsandbytes quiet

# isort: split
import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset
from peft import LoraConfig, TaskType, get_peft_model
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from lowcost_ft.config import RunConfig
from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.models.held_precision import hold_frozen_weights
from lowcost_ft.models.hub import is_cached, quiet_libraries
from lowcost_ft.models.loading import build_model, forward_module
from lowcost_ft.models.quantization import compute_dtype
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.backbone_cache import CachedStates, cached_layers
from lowcost_ft.training.optimizer import build_optimizer, parameter_groups
from lowcost_ft.training.step_plan import PlannedStep, planned_steps
from lowcost_ft.training.steps import StepRunner, rehearse

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
            micro_batch_tokens=self.config.micro_batch_tokens,
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
            with FlopCounterMode(display=False) as counter:
                for step in some:
                    runner.step(optimizer, step)
        tokens = sum(step.padded_tokens for step in some)
        self.facts["flops_a_padded_token"] = round(counter.get_total_flops() / tokens)


class TrainerArm:
    """transformers' `Trainer` with a peft adapter and a collator that pads to the longest."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.facts: dict[str, Any] = {"lora_targets": list(setting.query_value)}
        token = setting.task.head == "token"
        lora = LoraConfig(
            task_type=TaskType.TOKEN_CLS if token else TaskType.SEQ_CLS,
            r=setting.config.lora_r,
            lora_alpha=32,
            target_modules=list(setting.query_value),
        )
        with quiet_libraries():
            self.model = get_peft_model(load_plain(setting), lora)
        self.dataset = Dataset.from_list(list(rows_of(setting.features)))
        collator = DataCollatorForTokenClassification if token else DataCollatorWithPadding
        self.collator = collator(setting.tokenizer)

    def run(self, steps: int, *, part: int) -> Timing:
        device = self.setting.accelerator.device
        precision = self.setting.accelerator.mixed_precision
        clock = _Clock(device)
        trainer = Trainer(
            model=self.model,
            args=TrainingArguments(
                output_dir=self.setting.config.output_dir,
                max_steps=WARM_UP_STEPS + steps,
                per_device_train_batch_size=self.setting.config.batch_size,
                learning_rate=LEARNING_RATES["lora"],
                seed=part,
                bf16=precision == "bf16",
                fp16=precision == "fp16",
                use_cpu=device.type == "cpu",
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=self.dataset,
            data_collator=self.collator,
            callbacks=[clock],
        )
        with clock.counting(self.model), _silent():
            trainer.train()
        return clock.timing(self.setting.config.batch_size)


class TextbookArm:
    """The listing of most tutorials: all weights, every text padded to the maximum length."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.facts: dict[str, Any] = {}
        self.model = load_plain(setting).to(setting.accelerator.device)
        rows = list(rows_of(setting.features))
        length = setting.config.max_length
        fill = {"input_ids": setting.tokenizer.pad_token_id, "labels": -100}
        for row in rows:
            for name, values in row.items():
                if isinstance(values, list):
                    row[name] = values + [fill.get(name, 0)] * (length - len(values))
        self.dataset = Dataset.from_list(rows).with_format("torch")

    def run(self, steps: int, *, part: int) -> Timing:
        accelerator, model = self.setting.accelerator, self.model
        clock = _Clock(accelerator.device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATES["full"])
        loader = DataLoader(
            self.dataset,
            batch_size=self.setting.config.batch_size,
            shuffle=True,
            generator=torch.Generator().manual_seed(part),
        )
        model.train()
        with clock.counting(model):
            for batch in islice(cycle(loader), WARM_UP_STEPS + steps):
                batch = {name: value.to(accelerator.device) for name, value in batch.items()}
                optimizer.zero_grad()
                with accelerator.autocast():
                    loss = model(**batch).loss
                loss.backward()
                optimizer.step()
                clock.step()
        return clock.timing(self.setting.config.batch_size)


def load_plain(setting: Setting) -> Any:
    """The model as transformers loads it."""
    token = setting.task.head == "token"
    auto = AutoModelForTokenClassification if token else AutoModelForSequenceClassification
    with _silent():
        model = auto.from_pretrained(
            setting.model_id,
            num_labels=len(setting.task.labels),
            local_files_only=is_cached(setting.model_id),
        )
    model.config.pad_token_id = setting.tokenizer.pad_token_id
    return model


def rows_of(features: Features) -> Iterator[dict[str, Any]]:
    """Tokenized rows as `datasets` keeps them, one dictionary each."""
    for row in range(len(features.lengths)):
        batch = collate(features, np.array([row]), pad_token_id=0)
        inputs = {name: value[0].tolist() for name, value in model_inputs(batch).items()}
        labels = batch["token_labels"] if "token_labels" in batch else batch["labels"]
        yield inputs | {"labels": labels[0].tolist()}


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with quiet_libraries(), contextlib.redirect_stdout(io.StringIO()):
        yield


def seconds_now(device: torch.device) -> float:
    """The time, once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class _Clock(TrainerCallback):
    """Times the steps after the warm-up, and counts what the model is given in them."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.times: list[float] = []
        self.shapes: list[int] = []
        self.real: list[torch.Tensor] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.step()

    def step(self) -> None:
        self.times.append(seconds_now(self.device))

    @contextlib.contextmanager
    def counting(self, model: torch.nn.Module) -> Iterator[None]:
        def count(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
            self.shapes.append(kwargs["input_ids"].numel())
            self.real.append(kwargs["attention_mask"].sum())

        hook = model.register_forward_pre_hook(count, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def timing(self, batch_size: int) -> Timing:
        steps = len(self.times) - WARM_UP_STEPS
        return Timing(
            seconds=self.times[-1] - self.times[WARM_UP_STEPS - 1],
            steps=steps,
            examples=steps * batch_size,
            real_tokens=int(sum(int(tokens) for tokens in self.real[WARM_UP_STEPS:])),
            padded_tokens=sum(self.shapes[WARM_UP_STEPS:]),
        )
