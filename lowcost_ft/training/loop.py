"""The one training loop: optimizer steps of N examples, each cut into micro-batches."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm.auto import tqdm

from lowcost_ft.config import TrainingConfig
from lowcost_ft.data.features import Features
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.backbone_cache import CachedStates
from lowcost_ft.training.optimizer import build_optimizer, build_scheduler, parameter_groups
from lowcost_ft.training.steps import StepRunner, planned_steps, rehearse

__all__ = ["TrainResult", "train"]

LOGGED_POINTS = 200
"""Points of the loss curve that a run keeps, however long it is."""


@dataclass(kw_only=True)
class TrainResult:
    """What training did and cost; `run.json` holds it under `train`."""

    seconds: float = 0.0
    epochs: float = 0.0
    optimizer_steps: int = 0
    examples: int = 0
    real_tokens: int = 0
    padded_tokens: int = 0
    peak_memory_bytes: int = 0
    peak_memory_source: str = "cpu_allocator"
    final_loss: float | None = None
    best_epoch: int | None = None
    stopped_early: bool = False
    loss_history: list[dict[str, float]] = field(default_factory=list)
    validation_history: list[dict[str, float]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The fields, with padding share and throughput."""
        share = 1 - self.real_tokens / self.padded_tokens if self.padded_tokens else 0.0
        rate = self.real_tokens / self.seconds if self.seconds else 0.0
        return {
            **vars(self),
            "padding_share": round(share, 4),
            "real_tokens_per_second": round(rate, 1),
            "seconds_per_step": round(self.seconds / max(self.optimizer_steps, 1), 6),
        }


def train(
    accelerator: Accelerator,
    model: nn.Module,
    task: Task,
    features: Features,
    *,
    settings: TrainingConfig,
    learning_rate: float,
    head_names: tuple[str, ...],
    pad_token_id: int,
    validate: Callable[[nn.Module], dict[str, Any]],
    best_path: Path,
    cached: CachedStates | None = None,
) -> TrainResult:
    """Trains `model` in place and leaves the weights of its best epoch in it.

    Args:
        accelerator: Processes, device and precision.
        model: A model whose trainable parameters require gradients.
        task: Loss and metric.
        features: The training data.
        settings: The optimization.
        learning_rate: Peak learning rate, resolved.
        head_names: Modules that take `settings.head_learning_rate`.
        pad_token_id: Token that fills up a micro-batch.
        validate: Scores the model on the validation split; called after every epoch.
        best_path: File that holds the trainable weights of the best epoch meanwhile.
        cached: Output of the frozen layers for `features`, which then do not run.

    Returns:
        What it did and what it cost.
    """
    device = accelerator.device

    def make_optimizer() -> torch.optim.Optimizer:
        groups = parameter_groups(
            model.named_parameters(),
            head_names=head_names,
            learning_rate=learning_rate,
            head_learning_rate=settings.head_learning_rate,
            weight_decay=settings.weight_decay,
        )
        return build_optimizer(groups, name=settings.optimizer, device=device)

    result = TrainResult()
    total_steps = settings.max_steps or settings.num_train_epochs * -(
        -features.num_examples // settings.batch_size
    )
    model.train()
    prepared = accelerator.prepare(model)
    runner = StepRunner(
        accelerator,
        prepared,
        task,
        features,
        pad_token_id=pad_token_id,
        max_grad_norm=settings.max_grad_norm,
        cached=cached,
    )
    if device.type == "cpu":
        result.peak_memory_bytes = rehearse(
            runner, planned_steps(features, settings, accelerator.num_processes), make_optimizer
        )
    elif device.type == "cuda":
        result.peak_memory_source = "cuda_allocator"
        torch.cuda.reset_peak_memory_stats(device)

    plain_optimizer = make_optimizer()
    scheduler = build_scheduler(
        plain_optimizer,
        name=settings.lr_scheduler_type,
        warmup_ratio=settings.warmup_ratio,
        total_steps=total_steps,
    )
    optimizer = accelerator.prepare(plain_optimizer)
    best = _BestEpoch(accelerator, best_path)
    log = _Log(accelerator, result, total_steps=total_steps)
    started = time.perf_counter()
    for step in planned_steps(features, settings, accelerator.num_processes):
        rate = float(scheduler.get_last_lr()[0])
        share = step.micro_batches[accelerator.process_index]
        loss = runner.step(optimizer, share, step.weight)
        scheduler.step()
        result.optimizer_steps += 1
        result.examples += step.examples
        result.real_tokens += step.real_tokens
        result.padded_tokens += step.padded_tokens
        finished = result.optimizer_steps == total_steps
        epoch_ends = step.last_of_epoch or finished
        log.step(
            loss, rate, seconds=result.seconds + time.perf_counter() - started, last=epoch_ends
        )
        if not epoch_ends:
            continue
        result.seconds += _synchronized_seconds(device) - started
        result.epochs = result.examples / features.num_examples
        _note_cuda_peak(result, device)
        scores = validate(prepared)
        log.epoch(step.epoch + 1, task.metric, scores)
        best.update(prepared, float(scores[task.metric]), step.epoch + 1)
        if best.without_better == settings.early_stopping_patience > 0 and not finished:
            result.stopped_early = True
            break
        model.train()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        started = time.perf_counter()
    log.close()
    best.restore(model)
    result.best_epoch = best.epoch
    return result


class _BestEpoch:
    """Keeps the trainable weights of the epoch with the best score, in a file meanwhile."""

    def __init__(self, accelerator: Accelerator, path: Path) -> None:
        self.accelerator = accelerator
        self.path = path
        self.score: float | None = None
        self.epoch: int | None = None
        self.without_better = 0

    def update(self, model: nn.Module, score: float, epoch: int) -> None:
        """Keeps the weights if no earlier epoch scored as high."""
        if self.score is not None and score <= self.score:
            self.without_better += 1
            return
        self.score, self.epoch, self.without_better = score, epoch, 0
        if self.accelerator.is_main_process:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            parameters = self.accelerator.unwrap_model(model).named_parameters()
            trained = ((name, p) for name, p in parameters if p.requires_grad)
            save_file({name: p.detach().cpu().contiguous() for name, p in trained}, self.path)

    def restore(self, model: nn.Module) -> None:
        """Puts the weights back, unless they are those of the last epoch, and removes the file."""
        self.accelerator.wait_for_everyone()
        if self.without_better:
            model.load_state_dict(load_file(self.path), strict=False)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self.path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                self.path.parent.rmdir()


class _Log:
    """Loss and scores, on the screen, for the trackers, and in the result."""

    def __init__(self, accelerator: Accelerator, result: TrainResult, *, total_steps: int) -> None:
        self.accelerator = accelerator
        self.result = result
        self.every = max(1, total_steps // LOGGED_POINTS)
        self.losses: list[torch.Tensor] = []
        self.epoch_loss = 0.0
        self.epoch_steps = 0
        self.validation = ""
        self.bar = tqdm(total=total_steps, unit="step", file=sys.stderr, disable=None, leave=False)
        self.bar.disable = self.bar.disable or not accelerator.is_main_process

    def step(self, loss: torch.Tensor, rate: float, *, seconds: float, last: bool) -> None:
        """Notes a step's loss, and fetches it together with those of other steps.

        Args:
            loss: This process's part of it, on the device.
            rate: Learning rate of the step.
            seconds: Since training began, evaluation left out.
            last: Whether an epoch ends.
        """
        self.losses.append(loss)
        if self.result.optimizer_steps % self.every == 0 or last:
            # One fetch for many steps: each makes the host wait for the device.
            total = self.accelerator.reduce(torch.stack(self.losses).sum(), reduction="sum").item()
            mean = total / len(self.losses)
            self.epoch_loss += total
            self.epoch_steps += len(self.losses)
            self.losses.clear()
            number = self.result.optimizer_steps
            entry = {"step": number, "loss": mean, "learning_rate": rate}
            entry["seconds"] = round(seconds, 3)
            self.result.loss_history.append(entry)
            self.accelerator.log({"train/loss": mean, "train/learning_rate": rate}, step=number)
            speed = f"{self.result.real_tokens / seconds:,.0f} tokens/s"
            self.bar.set_postfix_str(f"loss {mean:.3f}{self.validation}, {speed}")
        self.bar.update()

    def epoch(self, number: int, metric: str, scores: dict[str, Any]) -> None:
        """Prints an epoch's mean loss and its validation score."""
        numbers = {k: float(v) for k, v in scores.items() if isinstance(v, int | float)}
        loss = self.epoch_loss / self.epoch_steps
        self.epoch_loss, self.epoch_steps = 0.0, 0
        self.result.final_loss = loss
        epoch = {"epoch": round(self.result.epochs, 4), "train_loss": loss}
        epoch["seconds"] = round(self.result.seconds, 3)
        self.result.validation_history.append(epoch | numbers)
        tracked = {f"validation/{key}": value for key, value in numbers.items()}
        self.accelerator.log(tracked, step=self.result.optimizer_steps)
        self.validation = f", {metric} {numbers[metric]:.3f}"
        if self.accelerator.is_main_process:
            # Through the bar, which would else be torn by the line.
            self.bar.write(
                f"epoch {number}: loss {loss:.4f}, validation {metric} {numbers[metric]:.4f}, "
                f"{self.result.seconds:.0f} s"
            )
            sys.stdout.flush()

    def close(self) -> None:
        """Takes the bar off the screen."""
        self.bar.close()


def _synchronized_seconds(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _note_cuda_peak(result: TrainResult, device: torch.device) -> None:
    """Takes the peak of the training steps, before evaluation adds its own."""
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        result.peak_memory_bytes = max(result.peak_memory_bytes, peak)
