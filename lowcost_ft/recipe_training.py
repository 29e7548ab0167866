"""The training of a recipe: the model, its checkpoints and the cache of its frozen layers."""

import contextlib
from dataclasses import asdict, replace
from typing import Any

import torch
from accelerate.utils import set_seed
from transformers import PreTrainedTokenizerBase

from lowcost_ft.data.features import Features
from lowcost_ft.data.loading import Splits
from lowcost_ft.environment import versions
from lowcost_ft.errors import UserError
from lowcost_ft.evaluation import evaluate
from lowcost_ft.health import checksums, unmoved_parts
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.held_precision import hold_frozen_weights
from lowcost_ft.models.loading import (
    BuiltModel,
    forward_module,
)
from lowcost_ft.models.quantization import compute_dtype
from lowcost_ft.run_folder import CHECKPOINTS, clear_output_dir
from lowcost_ft.start import Run
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.backbone_cache import CacheReport, cached_layers
from lowcost_ft.training.checkpoint import Checkpoints
from lowcost_ft.training.compilation import check_compiler, compiled_layers, without_compiling
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.registry import build_extensions
from lowcost_ft.training.loop import TrainResult, train
from lowcost_ft.training.optimizer import default_learning_rate
from lowcost_ft.training.resume import check_training, run_training
from lowcost_ft.training.sharding import is_sharded, split_by_layer

__all__ = ["train_run"]


def train_run(
    run: Run,
    built: BuiltModel,
    task: Task,
    splits: Splits,
    features: dict[str, Features],
    tokenizer: PreTrainedTokenizerBase,
) -> TrainResult:
    """Trains, keeps the best epoch by the validation score, and records what it cost.

    Raises:
        UserError: The weights became infinite or not a number.
    """
    config = run.config
    model = built.model
    sharded = is_sharded(run.accelerator)
    if sharded and built.family is not None:  # Each part moves by itself: the whole may not fit.
        split_by_layer(run.accelerator, layer_list(forward_module(model), built.family)[0])
    rate = config.learning_rate or default_learning_rate(built.method, model.config.hidden_size)
    run.record["config"]["learning_rate"] = rate
    # Of the weights as they were read, which are rounded next.
    checkpoints = _checkpoints(run, built, splits, features["train"])
    if not sharded:
        hold_frozen_weights(
            model,
            compute_dtype(run.accelerator.mixed_precision),
            family=built.family,
            top_layers=config.trainable_layers if config.cache_frozen_layers else None,
        )
        model.to(run.accelerator.device)
    # From here on nothing but the training itself can go wrong: an earlier run may go.
    if run.accelerator.is_main_process:
        clear_output_dir(run.folder, keep_checkpoints=run.resume is not None)
    # After loading, so that dropout differs between processes and the weights do not.
    set_seed(config.seed, device_specific=True)

    with _cached_layers(run, built, features, tokenizer) as cache, _compiled(run, built):
        run.streamed = cache.states if built.streamed else {}

        def validate(prepared: torch.nn.Module) -> dict[str, Any]:
            with without_compiling():
                scores, _ = evaluate(
                    run.accelerator,
                    prepared,
                    task,
                    splits.validation,
                    features["validation"],
                    pad_token_id=tokenizer.pad_token_id,
                    micro_batch_tokens=config.micro_batch_tokens,
                    seed=config.seed,
                    cached=cache.states.get("validation"),
                    recoveries=result.recoveries,
                    validation=True,
                )
            return scores

        result, planned = TrainResult(), run.record.get("memory_plan", {})
        before = checksums(model.named_parameters())
        try:
            train(
                run.accelerator,
                forward_module(model),
                task,
                features["train"],
                settings=replace(config, optimizer=run.record["config"]["optimizer"]),
                learning_rate=rate,
                head_names=built.head_names,
                pad_token_id=tokenizer.pad_token_id,
                validate=validate,
                checkpoints=checkpoints,
                cached=cache.states.get("train"),
                result=result,
                example_name=lambda number: splits.train[number].source,
                extensions=build_extensions(
                    TrainingContext(
                        settings=config,
                        model=model,
                        task=task,
                        features=features["train"],
                        pad_token_id=tokenizer.pad_token_id,
                        examples=splits.train,
                        tokenizer=tokenizer,
                    )
                ),
            )
        finally:  # Also a training that failed is on record.
            run.record["train"] = result.to_dict() | {
                "effective_batch_size": config.batch_size,
                "micro_batch_tokens": config.micro_batch_tokens,
                "cache_seconds": round(cache.seconds, 3),
                "cache_bytes": cache.num_bytes,
                "streaming": asdict(cache.streaming) if cache.streaming else None,
                "predicted_peak_memory_bytes": planned.get("peak_bytes"),
            }
    if not all(bool(p.isfinite().all()) for p in model.parameters() if p.requires_grad):
        raise UserError(
            f"training diverged: the weights are no longer finite. Lower --learning-rate "
            f"(it was {rate:g}) or keep --max-grad-norm at 1"
        )
    if not sharded:  # A part of a weight has another sum.
        after = checksums(model.named_parameters())
        run.unmoved = unmoved_parts(before, after, built.head_names)
    return result


def _compiled(run: Run, built: BuiltModel) -> contextlib.AbstractContextManager[None]:
    """The layers as the steps run them.

    Raises:
        UserError: They cannot be compiled here.
    """
    if not run.config.torch_compile:
        return contextlib.nullcontext()
    if built.family is None or is_sharded(run.accelerator):
        what = "a split model" if built.family else f"model type {built.model.config.model_type!r}"
        raise UserError(f"--torch-compile: the layers of {what} cannot be compiled; leave it out")
    check_compiler()
    run.say("note: the memory prediction is for layers that are not compiled")
    if run.accelerator.device.type == "cpu":
        run.say("note: --torch-compile rarely helps on a CPU: compare the speed without it")
    return compiled_layers(layer_list(forward_module(built.model), built.family))


def _checkpoints(run: Run, built: BuiltModel, splits: Splits, features: Features) -> Checkpoints:
    """Where and when to take checkpoints; refuses to go on from one of another training.

    Raises:
        UserError: Data, tokenizer or pretrained weights are not those that the run began with.
    """
    training = run_training(splits.fingerprint, features, built.model) | {
        "model": f"{built.quantization} weights, top layers {run.config.trainable_layers or 'all'}"
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
    run: Run, built: BuiltModel, features: dict[str, Features], tokenizer: PreTrainedTokenizerBase
) -> contextlib.AbstractContextManager[CacheReport]:
    config = run.config
    if not config.cache_frozen_layers:
        return contextlib.nullcontext(CacheReport(states={}))
    assert config.trainable_layers is not None
    # Without the lower layers, the model can run on no other rows afterwards.
    splits = ("train", "validation", "test") if built.streamed else ("train", "validation")
    return cached_layers(
        run.accelerator,
        forward_module(built.model),
        built.family,
        {name: features[name] for name in splits if name in features},
        trainable_layers=config.trainable_layers,
        head_names=built.head_names,
        model_id=config.model_id,
        max_length=config.max_length,
        pad_token_id=tokenizer.pad_token_id,
        micro_batch_tokens=config.micro_batch_tokens,
        dtype=config.cache_dtype,
        cache_dir=config.cache_dir,
        streamed=built.streamed,
        say=run.say,
    )
