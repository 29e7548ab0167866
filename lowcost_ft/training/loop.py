"""The training loop: optimizer steps of N examples, each cut into micro-batches."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from lowcost_ft.config.settings import TrainingConfig
from lowcost_ft.data.features import Features
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.cache import CachedStates
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.best_epoch import BestEpoch
from lowcost_ft.training.checkpoint import Checkpoints, TrainState
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.finite_check import may_read_later
from lowcost_ft.training.gradient_start import start_from_gradient
from lowcost_ft.training.head_start import fit_head, tell_start
from lowcost_ft.training.interruption import noted_signals
from lowcost_ft.training.optimizer import build_optimizer, build_scheduler, parameter_groups
from lowcost_ft.training.progress import TrainLog, TrainResult
from lowcost_ft.training.recovery import MicroBatchBudget, agree
from lowcost_ft.training.sharding import is_sharded, prepare_training
from lowcost_ft.training.step_plan import planned_steps
from lowcost_ft.training.step_replay import rehearse
from lowcost_ft.training.steps import StepOutcome, StepRunner
from lowcost_ft.training.training_length import epochs_between_scores, num_epochs

__all__ = ["TrainResult", "train"]


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
    validate: Callable[[nn.Module], dict[str, Any]] | None,
    checkpoints: Checkpoints,
    cached: CachedStates | None = None,
    states_on_device: bool = False,
    result: TrainResult | None = None,
    example_name: Callable[[int], str] = str,
    extensions: Extensions | None = None,
    pause: Callable[[int], bool] | None = None,
    fitted_layer: nn.Linear | None = None,
) -> TrainResult:
    """Trains `model` in place and leaves the weights of its best epoch in it.

    Args:
        accelerator: Processes, device and precision.
        model: A model whose trainable parameters require gradients.
        task: The task, which has the loss and the metric.
        features: The training data.
        settings: How to optimize.
        learning_rate: Peak learning rate.
        head_names: Paths of the modules of the head, which take `settings.head_learning_rate`.
        pad_token_id: Token that fills up a micro-batch.
        validate: Scores the model on the validation split; called after epochs. None: no epoch is
            scored, and the weights of the last epoch stay in the model.
        checkpoints: Where and when to take checkpoints, and the one to go on from.
        cached: Output of the frozen layers for `features`, which then do not run.
        states_on_device: Whether to keep a copy of it on the device, until memory runs out.
        result: Filled while training goes on, so that the caller has it if training fails.
        example_name: Names an example of `features`, given its number, for messages.
        extensions: What training tricks do in each step.
        pause: Called before each step with the number of epochs that have been scored; True stops
            training for the time being. A checkpoint is taken, and a run that resumes from it goes
            on as if it had not paused. For a single process only.
        fitted_layer: The output layer, where it is to begin as `head_start.py` fits it.

    Returns:
        Counts, curves and costs.

    Raises:
        NoRoomError: A single example does not fit into memory.
        UserError: Loss or gradient was not finite in `settings.max_bad_steps` steps, or for every
            example of an epoch's last step; or the checkpoint for `pause` could not be written.
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

    result = result or TrainResult()
    budget = MicroBatchBudget.of(settings)
    result.recoveries = budget.recoveries
    model.train()
    plain_optimizer = make_optimizer()
    prepared, optimizer = prepare_training(accelerator, model, plain_optimizer)
    runner = StepRunner(
        accelerator,
        prepared,
        task,
        features,
        pad_token_id=pad_token_id,
        max_grad_norm=settings.max_grad_norm,
        budget=budget,
        cached=cached,
        states_on_device=states_on_device,
        example_name=example_name,
        extensions=extensions,
        seed=settings.seed,
    )
    tricks = runner.extensions
    plan = partial(
        planned_steps, features, settings, accelerator.num_processes, budget, tricks.epoch
    )
    total_steps = settings.max_steps
    if total_steps is None:
        an_epoch = -(-tricks.epoch(features, 0).num_examples // settings.batch_size)
        total_steps = num_epochs(settings, features.num_examples) * an_epoch
    scored_every = epochs_between_scores(settings, features.num_examples)
    if device.type == "cpu" and not is_sharded(accelerator) and total_steps:
        result.peak_memory_bytes = rehearse(runner, plan(), make_optimizer)
    elif device.type == "cuda":
        result.peak_memory_source = "cuda_allocator"
        torch.cuda.reset_peak_memory_stats(device)

    from_gradient = settings.lora_start == "gradient"
    if (fitted_layer or from_gradient) and total_steps and not checkpoints.resume:
        started = time.perf_counter()
        if fitted_layer is not None:
            result.head_start = fit_head(
                runner.evaluate, task, features, fitted_layer, seed=settings.seed
            )
            prepared.train()
            if accelerator.is_main_process:
                tell_start(result.head_start)
        if from_gradient:
            start_from_gradient(runner, plain_optimizer, plan(), total_steps)
        result.start_seconds = time.perf_counter() - started
        result.seconds += result.start_seconds
    tricks.begin(total_steps)
    scheduler = build_scheduler(
        plain_optimizer,
        name=settings.lr_scheduler_type,
        warmup_ratio=settings.warmup_ratio,
        total_steps=total_steps,
    )
    state = TrainState(
        accelerator=accelerator,
        model=model,
        optimizer=plain_optimizer,
        scheduler=scheduler,
        result=result,
        budget=budget,
        best=BestEpoch(accelerator, checkpoints.best_path),
        log=TrainLog(accelerator, result, total_steps=total_steps),
        extensions=tricks,
    )
    if checkpoints.resume:
        state.load(checkpoints.resume)
        result.resumed_at_steps.append(result.optimizer_steps)
        result.paused = False
    runner.reads_later = may_read_later(accelerator, plain_optimizer, tricks)
    state.log.reads_later = runner.reads_later
    steps = islice(plan(), result.optimizer_steps, None)

    def stop_if_diverged(outcome: StepOutcome) -> None:
        ends = outcome.step.last_of_epoch or outcome.step.number == total_steps
        # If every example is bad, it is the weights that are broken.
        broken = ends and len(outcome.bad_examples or ()) == outcome.step.examples
        if broken or len(result.bad_steps) >= settings.max_bad_steps:
            raise _diverged(result, learning_rate)

    def note_late() -> None:
        """Notes steps that were found bad only after they had returned."""
        for outcome in runner.late_outcomes():
            result.note_bad(outcome)
            stop_if_diverged(outcome)

    alone, first = accelerator.num_processes == 1, True
    with noted_signals() as interruption:
        while True:
            if state.epoch_to_score is not None and validate is not None:
                _note_cuda_peak(result, device)
                with (
                    _saved_when_stopped(checkpoints, state),
                    interruption.at_once(enabled=alone),
                    tricks.swapped(),
                ):
                    scores = validate(prepared)
                with tricks.swapped():
                    state.score_epoch(task.metric, scores)
                if state.best.without_better == settings.early_stopping_patience > 0:
                    result.stopped_early = result.optimizer_steps < total_steps
                model.train()
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(device)
            if result.stopped_early or result.optimizer_steps == total_steps:
                break
            if pause is not None and pause(result.scored_epochs):
                runner.settle()
                note_late()
                if not checkpoints.save(state):
                    raise UserError(f"no checkpoint could be written to {checkpoints.folder}")
                state.log.close()
                result.paused = True
                return result
            started, cpu_started = time.perf_counter(), time.process_time()
            rate = float(scheduler.get_last_lr()[0])
            outcome = runner.step(optimizer, next(steps))
            note_late()
            scheduler.step()
            last = result.optimizer_steps + 1 == total_steps
            epoch_ends = outcome.step.last_of_epoch or last
            if first or epoch_ends:  # Their time is known only once the device is done.
                runner.settle()
            seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
            result.count(outcome, seconds, cpu_seconds, first=first)
            first = False
            if outcome.bad_examples is not None:
                stop_if_diverged(outcome)
            note_late()
            state.log.step(outcome.loss, rate, last=epoch_ends)
            if epoch_ends:
                result.epochs = result.examples / outcome.step.features.num_examples
                done = outcome.step.epoch + 1
                scored = done % scored_every == 0 or result.optimizer_steps == total_steps
                if scored and validate is not None:
                    state.epoch_to_score = done
            due = checkpoints.due(result.optimizer_steps)
            number, due_anywhere = agree(accelerator, interruption.signal, int(due))
            if number or due_anywhere:
                runner.settle()
                note_late()
                _note_cuda_peak(result, device)
                checkpoints.save(state)
            if number:
                interruption.stop(number)
        # Evaluation and saving still follow and take time, so a checkpoint is taken here.
        checkpoints.save(state)
        state.log.close()
    tricks.swap_in()
    state.best.restore(model)
    tricks.finish(runner.evaluate)
    result.best_epoch = state.best.epoch
    return result


@contextmanager
def _saved_when_stopped(checkpoints: Checkpoints, state: TrainState) -> Iterator[None]:
    """Takes a checkpoint if a signal ends the block; the block must not change the state."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        checkpoints.save(state)
        raise


def _diverged(result: TrainResult, learning_rate: float) -> UserError:
    last, examples = (result.bad_steps[-1][key] for key in ("optimizer_step", "examples"))
    named = ", ".join(examples[:3]) + (" ..." if len(examples) > 3 else "")
    return UserError(
        f"training diverged: in {len(result.bad_steps)} steps, the last of them step "
        f"{last:,}, the loss or its gradient was not finite. Lower "
        f"--learning-rate (it was {learning_rate:g}), keep --max-grad-norm at 1, or check the "
        f"examples that caused it: {named} (all are in run.json, train.bad_steps)"
    )


def _note_cuda_peak(result: TrainResult, device: torch.device) -> None:
    """Notes the peak of the training steps, before an evaluation adds its own."""
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        result.peak_memory_bytes = max(result.peak_memory_bytes, peak)
