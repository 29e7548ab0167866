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
    log_every = max(1, total_steps // LOGGED_POINTS)
    losses: list[torch.Tensor] = []
    best: float | None = None
    without_better = 0
    bar = tqdm(total=total_steps, unit="step", file=sys.stderr, disable=None, leave=False)
    bar.disable = bar.disable or not accelerator.is_main_process
    started = time.perf_counter()
    for step in planned_steps(features, settings, accelerator.num_processes):
        share = step.micro_batches[accelerator.process_index]
        losses.append(runner.step(optimizer, share, step.weight))
        scheduler.step()
        result.optimizer_steps += 1
        result.examples += step.examples
        result.real_tokens += step.real_tokens
        result.padded_tokens += step.padded_tokens
        finished = result.optimizer_steps == total_steps
        if result.optimizer_steps % log_every == 0 or step.last_of_epoch or finished:
            _log_loss(accelerator, result, losses, float(scheduler.get_last_lr()[0]))
            losses.clear()
            seconds = result.seconds + time.perf_counter() - started
            bar.set_postfix_str(
                f"loss {result.final_loss:.3f}, {result.real_tokens / seconds:,.0f} tokens/s"
            )
        bar.update()
        if not (step.last_of_epoch or finished):
            continue
        result.seconds += _synchronized_seconds(device) - started
        result.epochs = result.examples / features.num_examples
        scores = validate(prepared)
        score = float(scores[task.metric])
        result.validation_history.append({"epoch": round(result.epochs, 4), **_numbers(scores)})
        accelerator.log({f"validation/{k}": v for k, v in _numbers(scores).items()}, step=bar.n)
        accelerator.print(
            f"epoch {step.epoch + 1}: loss {result.final_loss:.4f}, "
            f"validation {task.metric} {score:.4f}, {result.seconds:.0f} s"
        )
        if best is None or score > best:
            best, without_better = score, 0
            result.best_epoch = step.epoch + 1
            if accelerator.is_main_process:
                _save_trainable(accelerator.unwrap_model(prepared), best_path)
        else:
            without_better += 1
        if without_better == settings.early_stopping_patience > 0 and not finished:
            result.stopped_early = True
            break
        model.train()
        started = time.perf_counter()
    bar.close()
    if device.type == "cuda":
        result.peak_memory_bytes = torch.cuda.max_memory_allocated(device)
    accelerator.wait_for_everyone()
    if without_better:
        model.load_state_dict(load_file(best_path), strict=False)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        best_path.unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            best_path.parent.rmdir()
    return result


def _synchronized_seconds(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _log_loss(
    accelerator: Accelerator, result: TrainResult, losses: list[torch.Tensor], rate: float
) -> None:
    # One fetch for many steps: each would make the host wait for the device.
    mean = accelerator.reduce(torch.stack(losses).mean(), reduction="sum").item()
    result.final_loss = mean
    entry = {"step": result.optimizer_steps, "loss": mean, "learning_rate": rate}
    result.loss_history.append(entry)
    accelerator.log({"train/loss": mean, "train/learning_rate": rate}, step=entry["step"])


def _numbers(scores: dict[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in scores.items() if isinstance(value, int | float)}


def _save_trainable(model: nn.Module, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    trained = ((name, p) for name, p in model.named_parameters() if p.requires_grad)
    save_file({name: p.detach().cpu().contiguous() for name, p in trained}, path)
