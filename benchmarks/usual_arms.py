"""The usual ways of training that ours is compared with, as their documentation shows them."""

import contextlib
import io
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import lowcost_ft  # noqa: F401 - before peft: it keeps bitsandbytes quiet

# isort: split
import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset
from peft import LoraConfig, TaskType, get_peft_model
from speed_arms import LEARNING_RATES, WARM_UP_STEPS, Setting, Timing, seconds_now
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.models.families import find_family
from lowcost_ft.models.hub import is_cached, load_config, quiet_libraries
from lowcost_ft.models.task_config import set_dropout


class TrainerArm:
    """transformers' `Trainer` with a peft adapter and a collator that pads to the longest."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.options: dict[str, Any] = {}
        self.facts: dict[str, Any] = {"lora_targets": list(setting.query_value)}
        token = setting.task.head == "token"
        lora = LoraConfig(
            task_type=TaskType.TOKEN_CLS if token else TaskType.SEQ_CLS,
            r=setting.config.lora_r,
            lora_alpha=32,
            lora_dropout=0.0,
            target_modules=list(setting.query_value),
        )
        with quiet_libraries():
            self.model = get_peft_model(load_plain(setting), lora)
        self.dataset = Dataset.from_list(list(rows_of(setting.features)))
        collator = DataCollatorForTokenClassification if token else DataCollatorWithPadding
        self.collator = collator(setting.tokenizer)

    def run(self, steps: int, *, part: int) -> Timing:
        clock = _Clock(self.setting.accelerator.device)
        trainer = Trainer(
            model=self.model,
            args=TrainingArguments(
                output_dir=self.setting.config.output_dir,
                max_steps=WARM_UP_STEPS + steps,
                per_device_train_batch_size=self.setting.config.batch_size,
                learning_rate=LEARNING_RATES["lora"],
                seed=part,
                logging_strategy="no",
                **trainer_options(self.setting.accelerator),
                **self.options,
            ),
            train_dataset=self.dataset,
            data_collator=self.collator,
            callbacks=[clock],
        )
        with clock.counting(self.model), _silent():
            trainer.train()
        return clock.timing(self.setting.config.batch_size)


class TunedTrainerArm(TrainerArm):
    """The same, set as someone would who knows the options of `Trainer`.

    Batches are made of texts of like length, and on a GPU the model is compiled. The rest is what
    the plain arm has already: no dropout inside LoRA, fused AdamW, SDPA, and bfloat16 on a GPU.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.options = {"train_sampling_strategy": "group_by_length"}
        if setting.accelerator.device.type == "cuda":
            self.options["torch_compile"] = True
            self.run(len(self.dataset) // setting.config.batch_size, part=0)  # Compiles.
        self.facts |= {"options": dict(self.options)}

    def run(self, steps: int, *, part: int) -> Timing:
        # The sampler sorts the rows of so many steps by length: only all of them are typical.
        rows_of_four = 4 * self.setting.config.batch_size
        sorted_together = max(1, min(50, len(self.dataset) // rows_of_four))
        return super().run(-(-steps // sorted_together) * sorted_together, part=part)


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


def trainer_options(accelerator: Accelerator) -> dict[str, Any]:
    """Fields of `TrainingArguments`: the device and precision that all arms have, and no output."""
    return {
        "bf16": accelerator.mixed_precision == "bf16",
        "fp16": accelerator.mixed_precision == "fp16",
        "use_cpu": accelerator.device.type == "cpu",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def load_plain(setting: Setting) -> Any:
    """The model as transformers loads it."""
    token = setting.task.head == "token"
    auto = AutoModelForTokenClassification if token else AutoModelForSequenceClassification
    config = load_config(setting.model_id)
    config.num_labels = len(setting.task.labels)
    if (dropout := setting.config.model_dropout) is not None:
        set_dropout(config, find_family(config), dropout)
    with _silent():
        model = auto.from_pretrained(
            setting.model_id,
            config=config,
            local_files_only=is_cached(setting.model_id),
        )
    model.config.pad_token_id = setting.tokenizer.pad_token_id
    return model


def rows_of(features: Features) -> Iterator[dict[str, Any]]:
    """Tokenized rows as `datasets` keeps them, one dictionary each."""
    for row in range(len(features.lengths)):
        batch = collate(features, np.array([row]), pad_token_id=0)
        inputs = {name: value[0].tolist() for name, value in model_inputs(batch, features).items()}
        labels = batch["token_labels"] if "token_labels" in batch else batch["labels"]
        yield inputs | {"labels": labels[0].tolist()}


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with quiet_libraries(), contextlib.redirect_stdout(io.StringIO()):
        yield


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
