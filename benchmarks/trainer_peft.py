"""The usual way to train an adapter, `Trainer` with peft, as a run to compare with.

    python benchmarks/trainer_peft.py --train-file train.conll --test-file test.conll

LoRA on query and value, batches in random order, each padded to its longest sentence, the weights
of the last epoch: what the examples of both libraries do. Data, seed, examples a step, rates,
schedule and scores are those of recipes/lora_ner.py, and so is what is written.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from speed_arms import Setting
from transformers import Trainer, TrainerCallback, TrainingArguments
from usual_arms import TrainerArm, trainer_options

from lowcost_ft import RunConfig, run_recipe, start_run
from lowcost_ft.memory.measure import cpu_step_peak_bytes, resident_peak_bytes
from lowcost_ft.models.families import find_family
from lowcost_ft.models.loading import save_model
from lowcost_ft.pipeline.data import load_data
from lowcost_ft.pipeline.predicting import predict_and_score
from lowcost_ft.pipeline.start import Run
from lowcost_ft.record.run_file import saved_bytes
from lowcost_ft.tasks import task_class
from lowcost_ft.training.optimizer import default_learning_rate
from lowcost_ft.training.progress import LOGGED_POINTS, TrainResult
from lowcost_ft.training.random_state import set_torch_states, torch_states
from lowcost_ft.training.training_length import num_epochs

CONFIG = RunConfig(task="ner", method="lora", target_modules="query,value", num_train_epochs=6)


def main(config: RunConfig) -> Path:
    """Loads the data, trains with `Trainer`, evaluates, saves; returns the run folder."""
    return train_and_score(config, TrainerArm, name="trainer-peft")


def train_and_score(
    config: RunConfig, make_arm: Callable[[Setting], TrainerArm], name: str
) -> Path:
    """The same for a `Trainer` that is set in this or that way, with its name in the record."""
    with start_run(config) as run:
        run.record["method"] = name
        data = load_data(run)
        arm = make_arm(
            Setting(
                accelerator=run.accelerator,
                model_id=config.model_id,
                task=data.task,
                tokenizer=data.tokenizer,
                features=data.features["train"],
                config=config,
                query_value=tuple(str(config.target_modules).split(",")),
            )
        )
        train_with_trainer(run, arm)
        run.record["evaluation"] = {}
        for split in (split for split in ("validation", "test") if split in data.features):
            run.record["evaluation"][split], _ = predict_and_score(
                run.accelerator,
                arm.model.get_base_model(),
                data.task,
                getattr(data.splits, split),
                data.features[split],
                pad_token_id=data.pad_token_id,
                micro_batch_tokens=run.prediction_tokens,
                seed=config.seed,
            )
        run.record["train"]["peak_resident_bytes"] = resident_peak_bytes()
        save_model(arm.model, data.tokenizer, run.folder)
        run.record["saved_bytes"] = saved_bytes(run.folder)
        return run.folder


def train_with_trainer(run: Run, arm: TrainerArm) -> None:
    """Trains, and records what it cost as our own loop does."""
    config, model = run.config, arm.model
    parameters = [p.numel() for p in model.parameters()]
    trainable = [p.numel() for p in model.parameters() if p.requires_grad]
    run.record["parameters"] = {"total": sum(parameters), "trainable": sum(trainable)}
    family = find_family(model.config)
    rate = config.learning_rate or default_learning_rate(
        "lora",
        model.config.hidden_size,
        post_norm=family is not None and family.post_norm,
        sequence_level=task_class(config.task).sequence_level(),
    )
    run.record["config"]["learning_rate"] = rate
    result = TrainResult()
    if run.accelerator.device.type == "cpu":
        result.peak_memory_bytes = _peak_of_longest_batch(arm, config)
    else:
        result.peak_memory_source = "cuda_allocator"
        torch.cuda.reset_peak_memory_stats()
    rows = len(arm.dataset)
    steps_an_epoch = -(-rows // config.batch_size)
    steps = config.max_steps or num_epochs(config, rows) * steps_an_epoch
    counts = _Counts()
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(run.folder / "trainer"),
            max_steps=steps,
            per_device_train_batch_size=config.batch_size,
            learning_rate=rate,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            lr_scheduler_type=config.lr_scheduler_type,
            warmup_steps=round(config.warmup_ratio * steps),
            seed=config.seed,
            logging_steps=max(1, steps // LOGGED_POINTS),
            **trainer_options(run.accelerator),
            **arm.options,
        ),
        train_dataset=arm.dataset,
        data_collator=arm.collator,
        callbacks=[counts],
    )
    hook = model.register_forward_pre_hook(counts.count, with_kwargs=True)
    trainer.train()
    hook.remove()
    result.seconds, result.optimizer_steps = counts.seconds[-1], steps
    result.epochs, result.best_epoch = steps / steps_an_epoch, -(-steps // steps_an_epoch)
    result.examples = steps // steps_an_epoch * rows + steps % steps_an_epoch * config.batch_size
    result.real_tokens = int(sum(int(tokens) for tokens in counts.real))
    result.padded_tokens = sum(counts.padded)
    logged = [(int(e["step"]), e["loss"]) for e in trainer.state.log_history if "loss" in e]
    result.loss_history = [
        {"step": step, "loss": loss, "seconds": round(counts.seconds[step - 1], 3)}
        for step, loss in logged
    ]
    result.final_loss = result.loss_history[-1]["loss"] if result.loss_history else None
    if result.peak_memory_source == "cuda_allocator":
        result.peak_memory_bytes = torch.cuda.max_memory_allocated()
    run.record["train"] = result.to_dict() | {
        "effective_batch_size": config.batch_size,
        "cache_seconds": 0.0,
        "cache_bytes": 0,
    }


class _Counts(TrainerCallback):
    """Seconds since training began at each step's end, and the tokens that the model got."""

    def __init__(self) -> None:
        self.began = 0.0
        self.seconds: list[float] = []
        self.padded: list[int] = []
        self.real: list[torch.Tensor] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.began)

    def count(self, _: Any, __: Any, inputs: dict[str, Any]) -> None:
        self.padded.append(inputs["input_ids"].numel())
        self.real.append(inputs["attention_mask"].sum())


def _peak_of_longest_batch(arm: TrainerArm, config: RunConfig) -> int:
    """Peak memory of a step that the longest sentence is in: all others are padded to it.

    Weights and random state are put back.
    """
    longest = max(range(len(arm.dataset)), key=lambda row: len(arm.dataset[row]["input_ids"]))
    others = [row for row in range(config.batch_size) if row != longest]
    rows = [arm.dataset[row] for row in [longest, *others][: config.batch_size]]
    batch = arm.collator(rows)
    trained = [p for p in arm.model.parameters() if p.requires_grad]
    weights, random = [p.detach().clone() for p in trained], torch_states()
    optimizer = torch.optim.AdamW(trained, fused=True)
    arm.model.train()

    def step() -> None:
        arm.model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()

    step()  # creates the optimizer's state
    state = [t for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t)]
    peak = cpu_step_peak_bytes(step, [*arm.model.parameters(), *arm.model.buffers(), *state])
    with torch.no_grad():
        for parameter, weight in zip(trained, weights, strict=True):
            parameter.copy_(weight)
    set_torch_states(random)
    return peak


if __name__ == "__main__":
    run_recipe(main, CONFIG, description=__doc__)
