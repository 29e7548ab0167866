"""Peak memory of this package's own training step, predicted without weights.

The step is that of `StepRunner` itself, with the real loss, optimizer, clipping and frozen layers;
only the model's numbers and the accelerator are stand-ins. So the two cannot drift apart.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator

from lowcost_ft.config.settings import TrainingConfig
from lowcost_ft.data.batching import MicroBatch
from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.frozen.cache import CachedStates
from lowcost_ft.frozen.encoder_part import lower_part, rows_read
from lowcost_ft.frozen.lower_part import LowerPart
from lowcost_ft.frozen.stored_states import DTYPES, StoredStates
from lowcost_ft.memory.operators import Target
from lowcost_ft.memory.quantized import put_stand_ins
from lowcost_ft.memory.simulate import (
    MemoryPrediction,
    SimulatedAccelerator,
    real_integers,
    simulate,
)
from lowcost_ft.models.frozen_precision import hold_frozen_weights
from lowcost_ft.models.joined_lora import JoinedLora
from lowcost_ft.models.loading import BuiltModel, forward_module
from lowcost_ft.models.quantization import compute_dtype
from lowcost_ft.planning.resident import (
    extension_state,
    make_optimizer_state,
    weights_by_part,
)
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.optimizer import (
    build_optimizer,
    choose_optimizer,
    parameter_groups,
)
from lowcost_ft.training.steps import StepRunner

__all__ = ["heaviest_micro_batches", "heaviest_of", "simulate_step"]

_RANDOM_STATE_BYTES = torch.get_rng_state().nbytes
"""The CPU's random state is kept in its memory, to go on from there: by a step that may have to be
done again, and by gradient checkpointing for each layer and while one runs again."""


def simulate_step(
    built: BuiltModel,
    task: Task,
    features: Features,
    micro_batches: Sequence[MicroBatch],
    *,
    settings: TrainingConfig,
    target: Target,
    pad_token_id: int,
    trainable_layers: int | None = None,
    num_processes: int = 1,
    extensions: Extensions | None = None,
) -> MemoryPrediction:
    """Predicts the peak memory of an optimizer step after the first one, whose state exists.

    Args:
        built: The model as it will be trained, built with `on_meta=True`.
        task: Its loss.
        features: Rows of the real lengths; what their tokens are does not matter.
        micro_batches: One process's share of the step.
        settings: The optimization.
        target: The hardware.
        pad_token_id: Token that fills up a micro-batch.
        trainable_layers: How many of the top layers train, with `settings.cache_frozen_layers`.
        num_processes: How many train together.
        extensions: What training tricks do in each step, made for this model.
    """
    model = forward_module(built.model)
    if built.quantization != "none":
        put_stand_ins(
            model,
            quantization=built.quantization,
            kept=built.unquantized_modules,
            dtype=compute_dtype(target.mixed_precision),
            device=target.device,
        )
    hold_frozen_weights(
        built.model,
        compute_dtype(target.mixed_precision),
        family=built.family,
        top_layers=trainable_layers if settings.cache_frozen_layers else None,
    )
    if target.device != "cpu":
        JoinedLora(model)  # Weights that a step joins lie in one tensor before it.
    model.train()
    groups = parameter_groups(
        model.named_parameters(),
        head_names=built.head_names,
        learning_rate=1.0,
        head_learning_rate=settings.head_learning_rate,
        weight_decay=settings.weight_decay,
    )
    device = torch.device(target.device)
    name = choose_optimizer(
        settings.optimizer, device=device, quantized=built.quantization != "none"
    )
    optimizer = build_optimizer(groups, name=name, device=device)
    paged = make_optimizer_state(optimizer)
    lower = None
    if settings.cache_frozen_layers:
        assert trainable_layers is not None
        lower = lower_part(model, built.family, trainable_layers)
    resident = weights_by_part(built, model)
    # They wait in the host's memory, or on disk.
    if lower is not None and (target.device == "cuda" or settings.stream_frozen_layers):
        away = {id(tensor) for tensor in lower.tensors()}
        resident["weights"] = [t for t in resident["weights"] if id(t) not in away]
    state = [t for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t)]
    paged_ids = {id(tensor) for tensor in paged}
    trained = [p for p in model.parameters() if p.requires_grad]
    state += extension_state(extensions or Extensions(), trained)
    resident["optimizer"] = [t for t in state if t.is_meta and id(t) not in paged_ids]

    found: list[CachedStates] = []
    if lower is not None:  # No part of the step: what runs here is not counted.

        def look(accelerator: SimulatedAccelerator) -> None:
            read = rows_read(features, built.family)
            states = _states(accelerator, lower, read, pad_token_id, settings.cache_dtype)
            found.append(states)

        with real_integers(model):
            simulate(target, look, resident={}, trained=[])

    def step(accelerator: SimulatedAccelerator) -> None:
        with lower.taken_out() if lower is not None else nullcontext():
            runner = StepRunner(
                cast(Accelerator, accelerator),
                model,
                task,
                features,
                pad_token_id=pad_token_id,
                max_grad_norm=settings.max_grad_norm,
                for_cpu=target.device == "cpu",
                cached=found[0] if found else None,
                extensions=extensions,
            )
            accelerator.num_processes = num_processes
            loss = runner.complete(runner.backward(heaviest, 1.0))
            accelerator.passes_are_over()
            runner.update(optimizer, loss)

    heaviest = heaviest_of(micro_batches, features)
    if len(heaviest) < len(micro_batches) and heaviest[0] is not micro_batches[0]:
        for parameter in trained:
            parameter.grad = torch.empty_like(parameter)
        resident["gradients"] = [p.grad for p in trained if p.grad is not None]
    layers = _checkpointed_layers(model, lower)
    kept_states = 2 + layers if layers else 1
    with real_integers(model):
        prediction = simulate(
            target,
            step,
            resident=resident,
            trained=trained,
            hidden_bytes=_RANDOM_STATE_BYTES * kept_states if target.device == "cpu" else 0,
        )
    return replace(prediction, paged_bytes=sum(tensor.nbytes for tensor in paged))


def heaviest_of(micro_batches: Sequence[MicroBatch], features: Features) -> list[MicroBatch]:
    """The micro-batches of a step that decide its peak, in order."""
    if not features.apart:
        return heaviest_micro_batches(micro_batches, features.widths)
    # Each is several passes, of which none says how large they are together.
    return [rows for rows in micro_batches if len(rows)]


def heaviest_micro_batches(
    micro_batches: Sequence[MicroBatch], lengths: np.ndarray
) -> list[MicroBatch]:
    """The micro-batches of a step that decide its peak, in order.

    All but the first find the same memory in use, so that of those only the ones count that no
    other exceeds in rows, in width and in being padded. The first comes before there are
    gradients: it counts unless a later one reaches it in all three.
    """
    rest = [rows for rows in micro_batches[1:] if len(rows)]
    shapes = [_shape(rows, lengths) for rows in rest]
    kept = []
    for position, shape in enumerate(shapes):
        exceeded = any(
            _reaches(other, shape) and (other != shape or earlier < position)
            for earlier, other in enumerate(shapes)
        )
        if not exceeded:
            kept.append(rest[position])
    first = micro_batches[0]
    if any(_reaches(shape, _shape(first, lengths)) for shape in shapes):
        return kept
    return [first, *kept]


def _reaches(shape: tuple[int, int, bool], other: tuple[int, int, bool]) -> bool:
    return all(a >= b for a, b in zip(shape, other, strict=True))


def _shape(rows: MicroBatch, lengths: np.ndarray) -> tuple[int, int, bool]:
    longest = int(lengths[rows].max())
    return len(rows), longest, bool((lengths[rows] < longest).any())


def _checkpointed_layers(model: Any, lower: LowerPart | None) -> int:
    checkpointed = getattr(model, "is_activation_checkpointing", None)
    if not (model.is_gradient_checkpointing if checkpointed is None else checkpointed):
        return 0
    layers = int(model.config.get_text_config().num_hidden_layers)
    return layers if lower is None else lower.num_trainable


@dataclass(frozen=True, kw_only=True)
class _UnreadStates(StoredStates):
    """States that would be read from disk."""

    def padded(
        self, starts: np.ndarray, lengths: np.ndarray, *, pin_memory: bool = False
    ) -> torch.Tensor:
        width = self.flat.shape[-1]
        return self.flat.new_empty((len(starts), int(lengths.max()), width))


def _states(
    accelerator: SimulatedAccelerator,
    lower: LowerPart,
    features: Features,
    pad_token_id: int,
    cache_dtype: str,
) -> CachedStates:
    batch = model_inputs(
        collate(features, np.zeros(1, np.int64), pad_token_id=pad_token_id), features
    )
    with accelerator.autocast():
        probe = lower.run({name: value.to(accelerator.device) for name, value in batch.items()})
    if cache_dtype == "auto":
        stored = DTYPES.get(accelerator.mixed_precision, torch.float32)
    else:
        stored = DTYPES[cache_dtype]
    flat = torch.empty((0, probe.shape[-1]), dtype=stored, device="meta")
    return CachedStates(
        part=lower,
        features=features,
        stored=_UnreadStates(flat=flat, dtype=probe.dtype, num_bytes=0),
        device=accelerator.device,
    )
