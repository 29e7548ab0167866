"""Builds the model of a run: plans its memory, reads its weights and decides what trains."""

from dataclasses import dataclass, replace
from typing import Any

from lowcost_ft.config.methods import find_method
from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.streamed_part import StreamedPart, streamed_part
from lowcost_ft.models.int8_linear import int8_notices
from lowcost_ft.models.loading import BuiltModel, build_model
from lowcost_ft.models.quantization import count_parameters
from lowcost_ft.models.virtual_tokens import virtual_logits
from lowcost_ft.pipeline.data import Data
from lowcost_ft.pipeline.memory import plan_memory
from lowcost_ft.pipeline.start import Run
from lowcost_ft.planning.budget import Plan
from lowcost_ft.planning.model_options import model_options
from lowcost_ft.training.extensions.registry import rate_factor
from lowcost_ft.training.optimizer import (
    choose_optimizer,
    default_head_learning_rate,
    default_learning_rate,
)
from lowcost_ft.training.sharding import is_sharded
from lowcost_ft.training.training_length import length_notice, settle_length

__all__ = ["Built", "build"]


@dataclass(frozen=True, kw_only=True)
class Built:
    """A model that is ready to train, and what was settled for it.

    Attributes:
        model: The model, with its adapter and the names of its head.
        settings: The settings, with optimizer and learning rates decided.
        plan: The memory plan; None where memory could not be predicted.
        streamed: The frozen layers, if they stay on disk; else None.
    """

    model: BuiltModel
    settings: RunConfig
    plan: Plan | None
    streamed: StreamedPart | None

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""
        assert self.settings.learning_rate is not None
        return self.settings.learning_rate


def build(run: Run, data: Data) -> Built:
    """Plans the memory, loads the pretrained model and decides which of its weights train.

    Args:
        run: The run; its settings and its record get what is decided.
        data: Its data.

    Raises:
        UserError: Nothing that is allowed fits `--memory-budget`, or the model cannot be used.
    """
    device = run.accelerator.device
    if data.task.writes:
        _check_writing(run)
    # An optimizer that cannot run here is refused before the model is loaded.
    choose_optimizer(run.config.optimizer, device=device, quantized=True)
    _settle_length(run, data)
    plan = plan_memory(run, data)
    config = run.config
    model = build_model(
        **model_options(
            config,
            data.task,
            labels=data.splits.labels,
            mixed_precision=run.accelerator.mixed_precision,
            pad_token_id=data.pad_token_id,
        ),
        usual_outputs=data.task.usual_outputs(data.features["train"]),
    )
    if config.max_steps == 0:
        _check_untrained(run, model, new_head=data.task.head_tokens is None)
    streamed = streamed_part(model, config.trainable_layers)
    optimizer: Any = choose_optimizer(
        config.optimizer, device=device, quantized=model.quantization != "none"
    )
    rate = config.learning_rate or rate_factor(
        config, data.features["train"].num_examples
    ) * default_learning_rate(
        model.method,
        model.model.config.hidden_size,
        post_norm=model.family is not None and model.family.post_norm,
        sequence_level=data.task.sequence_level(),
        decoder_translates=data.task.translates and not model.model.config.is_encoder_decoder,
    )
    settings = replace(
        config,
        optimizer=optimizer,
        learning_rate=rate,
        head_learning_rate=config.head_learning_rate
        or default_head_learning_rate(model.model, model.head_names, rate, method=model.method),
    )
    built = Built(model=model, settings=settings, plan=plan, streamed=streamed)
    _note(run, data, built)
    return built


def _check_writing(run: Run) -> None:
    """Refuses settings that a task which writes texts cannot obey, before weights are read.

    Raises:
        UserError: A setting or the launch splits the model or takes it apart.
    """
    if run.config.stream_frozen_layers:
        raise UserError(
            "--stream-frozen-layers: never holds the whole model, and writing a text needs all "
            "layers for each of its tokens; leave it out"
        )
    if is_sharded(run.accelerator):
        raise UserError(
            f"{run.accelerator.distributed_type.value} splits the model between processes, and a "
            "task that writes texts needs the weights of the output layer outside of it: use plain "
            "data parallelism"
        )


def _check_untrained(run: Run, model: BuiltModel, *, new_head: bool) -> None:
    """Refuses to score an untrained model if some of its weights are random.

    Args:
        run: The run.
        model: Its model.
        new_head: Whether a new head would be random, and not begin as words.

    Raises:
        UserError: Some weights are random; it names them and what to do.
    """
    drawn = sorted(model.new_weights) if new_head else []
    method = find_method(model.method)
    if method is not None and method.virtual_tokens:
        drawn.append(f"the vectors of --method {model.method}")
    if not drawn:
        return
    for notice in model.notices:  # Why a head that the checkpoint has is not used.
        run.say(f"note: {notice}")
    raise UserError(
        f"--max-steps 0: trains nothing, and {drawn[0]} of {run.config.model_id!r} is new, so that "
        "it would answer at random; give the head words by --prompt-template, where the task has "
        "it, name a model that was trained for these labels, or train"
    )


def _settle_length(run: Run, data: Data) -> None:
    """Replaces `auto` by numbers of epochs in the settings and the record, and tells the user."""
    examples = data.features["train"].num_examples
    notice = length_notice(run.config, examples)
    run.config = settle_length(run.config, examples)
    names = ("num_train_epochs", "validate_every_epochs")
    run.record["config"] |= {name: getattr(run.config, name) for name in names}
    if notice:
        run.say(f"note: {notice}")


def _note(run: Run, data: Data, built: Built) -> None:
    """Writes the model's facts to the record and tells the user the main ones."""
    model = built.model
    total, trainable = count_parameters(model.model)
    total += built.streamed.num_parameters if built.streamed else 0
    causal = model.family is not None and model.family.causal
    run.record |= {
        "parameters": {"total": total, "trainable": trainable},
        "method": model.method,
        "base_model": model.base_model,
        "virtual_logits": virtual_logits(model.model, run.config.max_length),
        "quantization": model.quantization,
        "unquantized_modules": model.unquantized_modules,
        "pad_token_id": data.pad_token_id if causal else None,
        "key_mapping": model.key_mapping,
        "output_bias": model.begins_as,
    }
    run.record["config"] |= {
        "optimizer": built.settings.optimizer,
        "learning_rate": built.settings.learning_rate,
        "head_learning_rate": built.settings.head_learning_rate,
    }
    on = "" if model.quantization == "none" else f" on {model.quantization} weights"
    run.say(
        f"model: {run.config.model_id}, {model.method}{on}: {trainable:,} of {total:,} parameters "
        f"train ({trainable / total:.2%})"
    )
    device = run.accelerator.device.type
    of_cpu = int8_notices(device) if model.quantization == "int8" else []
    lower = (device, run.config.mixed_precision, run.accelerator.mixed_precision)
    if lower == ("cpu", "auto", "bf16"):
        of_cpu.append(
            "products are computed in bf16, which is the faster precision on this CPU, since it "
            "has AMX tiles; --mixed-precision no computes in float32"
        )
    for notice in [*model.notices, *of_cpu]:
        run.say(f"note: {notice}")
