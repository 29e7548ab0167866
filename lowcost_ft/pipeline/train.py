"""Trains a run's model, with its checkpoints and the cache of its frozen layers."""

import contextlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from accelerate.utils import set_seed

from lowcost_ft.config.tasks import task_settings
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.cache import CachedStates, CacheReport, cached_layers
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.existing_head import output_path
from lowcost_ft.models.frozen_precision import hold_frozen_weights
from lowcost_ft.models.loading import forward_module
from lowcost_ft.models.quantization import compute_dtype
from lowcost_ft.pipeline.build import Built
from lowcost_ft.pipeline.data import Data
from lowcost_ft.pipeline.predicting import predict_and_score
from lowcost_ft.pipeline.run_warnings import checksums, unmoved_parts
from lowcost_ft.pipeline.start import Run
from lowcost_ft.record.environment import versions
from lowcost_ft.record.run_folder import CHECKPOINTS, clear_output_dir
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.training import loop
from lowcost_ft.training.checkpoint import Checkpoints
from lowcost_ft.training.compilation import check_compiler, compiled_layers, without_compiling
from lowcost_ft.training.extensions.registry import build_extensions
from lowcost_ft.training.progress import TrainResult
from lowcost_ft.training.resume import check_training, run_training
from lowcost_ft.training.sharding import is_sharded, split_by_layer

__all__ = ["Trained", "train"]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The result of training.

    Attributes:
        result: Counts, curves and costs, as `run.json` has them under `train`.
        states: Outputs of the frozen layers for each split, if these layers stay on disk, so that
            the model can run on these rows only; else empty.
        unmoved: Parts of the model that training did not change.
    """

    result: TrainResult
    states: dict[str, CachedStates] = field(default_factory=dict)
    unmoved: list[str] = field(default_factory=list)


def train(
    run: Run,
    built: Built,
    data: Data,
    *,
    pause: Callable[[int], bool] | None = None,
    on_scores: Callable[[dict[str, Any], Predictions], None] | None = None,
) -> Trained:
    """Trains the model, leaves the weights of its best epoch in it, and records the costs.

    Args:
        run: The run.
        built: Its model, which is trained in place.
        data: Its data.
        pause: Called before each step; True stops the run for the time being, see
            `training.loop.train`. The run resumes like one that was interrupted.
        on_scores: Gets the validation scores and predictions of each evaluation.

    Raises:
        UserError: Training diverged: some weights are infinite or not a number.
    """
    config, model = run.config, built.model.model
    run.on_scores = on_scores
    family = built.model.family
    sharded = is_sharded(run.accelerator)
    if sharded and family is not None:  # FSDP moves layer by layer: the whole may not fit.
        split_by_layer(run.accelerator, layer_list(forward_module(model), family)[0])
    # Taken before the weights are rounded, since the checksum is of the file's weights.
    checkpoints = _checkpoints(run, built, data)
    if not sharded:
        hold_frozen_weights(
            model,
            compute_dtype(run.accelerator.mixed_precision),
            family=family,
            top_layers=config.trainable_layers if config.cache_frozen_layers else None,
        )
        model.to(run.accelerator.device)
    # From here on only the training itself can fail, so an earlier run may be removed.
    if run.accelerator.is_main_process:
        clear_output_dir(run.folder, keep_checkpoints=run.resume is not None)
    # After loading, so that dropout differs between processes and the weights do not.
    set_seed(config.seed, device_specific=True)
    result = TrainResult()
    with _cached_layers(run, built, data) as cache, _compiled(run, built):
        before = checksums(model.named_parameters())
        extensions = build_extensions(data.context(config, model, run.accelerator))
        for note in extensions.notes():
            run.say(f"note: {note}")
        try:
            loop.train(
                run.accelerator,
                forward_module(model),
                data.task,
                data.features["train"],
                settings=built.settings,
                learning_rate=built.learning_rate,
                head_names=built.model.head_names,
                pad_token_id=data.pad_token_id,
                validate=(
                    None
                    if extensions.fits_head or "validation" not in data.features
                    else _validation(run, data, cache, result)
                ),
                checkpoints=checkpoints,
                cached=cache.states.get("train"),
                states_on_device=built.plan is not None and built.plan.states_bytes > 0,
                result=result,
                example_name=data.source_of,
                extensions=extensions,
                pause=pause,
                fitted_layer=_fitted_layer(run, built, data),
            )
        finally:  # A training that failed is recorded as well.
            run.record["train"] = result.to_dict() | {
                "effective_batch_size": config.batch_size,
                "micro_batch_tokens": config.settled_micro_batch_tokens,
                "cache_seconds": round(cache.seconds, 3),
                "cache_bytes": cache.num_bytes,
                "streaming": asdict(cache.streaming) if cache.streaming else None,
                "predicted_peak_memory_bytes": built.plan and built.plan.prediction.peak_bytes,
                "extensions": extensions.record(math.ceil(result.epochs)),
            }
    run.paused = result.paused
    if not all(bool(p.isfinite().all()) for p in model.parameters() if p.requires_grad):
        raise UserError(
            f"training diverged: the weights are no longer finite. Lower --learning-rate "
            f"(it was {built.learning_rate:g}) or keep --max-grad-norm at 1"
        )
    unmoved: list[str] = []
    # Parts of a split weight have other sums, and without steps nothing should have changed.
    if not sharded and result.optimizer_steps:
        after = checksums(model.named_parameters())
        unmoved = unmoved_parts(before, after, built.model.head_names)
    states = cache.states if built.streamed else {}
    return Trained(result=result, states=states, unmoved=unmoved)


def _fitted_layer(run: Run, built: Built, data: Data) -> torch.nn.Linear | None:
    """The output layer, if it is to be fitted before training.

    Raises:
        UserError: `--head-start fitted` is not possible for the task or the checkpoint.
    """
    if run.config.head_start != "fitted":
        return None
    model, task = built.model.model, data.task
    path = output_path(model, len(data.splits.labels)) if task.has_choices else None
    why = None
    if path is None:
        why = f"{task_settings(task.name).title} has no output for each of several classes here"
    elif not built.model.drawn_output:
        why = f"the output layer of {run.config.model_id!r} does not begin at random"
    if why or path is None:
        raise UserError(f"--head-start fitted: {why}; leave it out")
    return model.get_submodule(path)


def _validation(
    run: Run, data: Data, cache: CacheReport, result: TrainResult
) -> Callable[[torch.nn.Module], dict[str, Any]]:
    def validate(prepared: torch.nn.Module) -> dict[str, Any]:
        with without_compiling():
            scores, predictions = predict_and_score(
                run.accelerator,
                prepared,
                data.task,
                data.splits.validation,
                data.features["validation"],
                pad_token_id=data.pad_token_id,
                micro_batch_tokens=run.prediction_tokens,
                seed=run.config.seed,
                cached=cache.states.get("validation"),
                recoveries=result.recoveries,
                validation=True,
            )
        if run.on_scores is not None:
            run.on_scores(scores, predictions)
        return scores

    return validate


def _compiled(run: Run, built: Built) -> contextlib.AbstractContextManager[None]:
    """Inside the block, the trained layers run compiled if `--torch-compile` is given.

    Raises:
        UserError: They cannot be compiled on this machine, or for this model.
    """
    if not run.config.torch_compile:
        return contextlib.nullcontext()
    model, family = built.model.model, built.model.family
    if family is None or is_sharded(run.accelerator):
        what = "a split model" if family else f"model type {model.config.model_type!r}"
        raise UserError(f"--torch-compile: the layers of {what} cannot be compiled; leave it out")
    check_compiler()
    run.say("note: the memory prediction is for layers that are not compiled")
    if run.accelerator.device.type == "cpu":
        run.say("note: --torch-compile rarely helps on a CPU: compare the speed without it")
    return compiled_layers(layer_list(forward_module(model), family))


def _checkpoints(run: Run, built: Built, data: Data) -> Checkpoints:
    """Where and when to take checkpoints, and which one to go on from.

    Raises:
        UserError: The checkpoint to go on from is of other data, tokens or pretrained weights.
    """
    model = built.model
    training = run_training(data.splits.fingerprint, data.features["train"], model.model) | {
        "model": f"{model.quantization} weights, top layers {run.config.trainable_layers or 'all'}",
        "length": f"{built.settings.num_train_epochs} epochs",
    }
    if run.resume:
        check_training(run.resume, training, run.say)
    return Checkpoints(
        accelerator=run.accelerator,
        folder=run.folder / CHECKPOINTS,
        keep=run.config.keep_checkpoints,
        every_steps=run.config.checkpoint_every_steps,
        every_minutes=run.config.checkpoint_every_minutes,
        identity={
            "settings": run.settings,
            "training": training,
            "versions": versions(),
        },
        resume=run.resume,
    )


def _cached_layers(
    run: Run, built: Built, data: Data
) -> contextlib.AbstractContextManager[CacheReport]:
    config = run.config
    if not config.cache_frozen_layers:
        return contextlib.nullcontext(CacheReport(states={}))
    assert config.trainable_layers is not None
    # A model without its lower layers can run only on rows whose states are kept.
    splits = ("train", "validation", "test") if built.streamed else ("train", "validation")
    return cached_layers(
        run.accelerator,
        forward_module(built.model.model),
        built.model.family,
        {name: data.features[name] for name in splits if name in data.features},
        trainable_layers=config.trainable_layers,
        head_names=built.model.head_names,
        model_id=config.model_id,
        max_length=config.max_length,
        pad_token_id=data.pad_token_id,
        micro_batch_tokens=run.prediction_tokens,
        dtype=config.cache_dtype,
        cache_dir=config.cache_dir,
        streamed=built.streamed,
        say=run.say,
    )
