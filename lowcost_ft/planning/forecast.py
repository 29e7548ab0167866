"""What the costliest step of a run will need, for any settings that the run could have."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.batching import MicroBatch
from lowcost_ft.data.features import Features
from lowcost_ft.frozen.device_states import device_bytes
from lowcost_ft.frozen.encoder_part import rows_read
from lowcost_ft.memory.operators import Target
from lowcost_ft.memory.simulate import MemoryPrediction
from lowcost_ft.models.loading import BuiltModel, forward_module, load_config
from lowcost_ft.planning.micro_batches import whole_step_tokens
from lowcost_ft.planning.simulated_building import CacheNeeds, cache_needs, simulate_building
from lowcost_ft.planning.simulated_step import heaviest_of, simulate_step
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.step_plan import PlannedStep, costliest_steps, planned_steps

__all__ = ["Forecast"]

_BUILD_FIELDS = (
    *("method", "quantization", "trainable_layers"),
    *("gradient_checkpointing", "cache_frozen_layers"),
)
"""Settings that change the model and that a plan may choose."""


class Forecast:
    """Predicts the peak of the costliest planned step, the one that `rehearse` measures."""

    def __init__(
        self,
        build: Callable[[RunConfig], BuiltModel],
        task: Task,
        features: Features,
        *,
        target: Target,
        pad_token_id: int,
        num_processes: int = 1,
        splits: Sequence[Features] | None = None,
        steps: Callable[[RunConfig], Iterator[PlannedStep]] | None = None,
        extend: Callable[[RunConfig, BuiltModel], Extensions] = lambda config, built: Extensions(),
        most_frozen_tokens: int | None = None,
    ) -> None:
        """
        Args:
            build: Builds the model of some settings on the meta device.
            task: Its loss.
            features: The training data.
            target: The hardware.
            pad_token_id: Token that fills up a micro-batch.
            num_processes: How many train together.
            splits: All data that frozen layers run on; by default the training data.
            steps: The optimizer steps of some settings; by default those of a run on `features`.
            extend: Makes the extensions of some settings, for a model that was built for them.
            most_frozen_tokens: Most padded tokens in a micro-batch of frozen layers, where steps
                may have more.
        """
        self.task = task
        self.features = features
        self.target = target
        self._build = build
        self._pad_token_id = pad_token_id
        self._num_processes = num_processes
        self._splits = list(splits or [features])
        self._steps = steps or self._planned
        self._extend = extend
        self._most_frozen_tokens = most_frozen_tokens
        self._built: dict[tuple, BuiltModel] = {}
        self._extensions: dict[tuple, Extensions] = {}
        self._known: dict[RunConfig, MemoryPrediction] = {}
        self._by_shape: dict[tuple, MemoryPrediction] = {}
        self._building: dict[tuple, MemoryPrediction] = {}

    def model(self, config: RunConfig) -> BuiltModel:
        """The model of these settings, without weights; built once."""
        key = tuple(getattr(config, name) for name in _BUILD_FIELDS)
        if key not in self._built:
            self._built[key] = self._build(config)
        return self._built[key]

    def extensions(self, config: RunConfig) -> Extensions:
        """The extensions of these settings, for their model; made once."""
        key = tuple(getattr(config, name) for name in _BUILD_FIELDS)
        if key not in self._extensions:
            self._extensions[key] = self._extend(config, self.model(config))
        return self._extensions[key]

    def _planned(self, config: RunConfig) -> Iterator[PlannedStep]:
        rows = self.extensions(config).epoch
        return planned_steps(self.features, config, self._num_processes, epoch_rows=rows)

    def whole_step_tokens(self, config: RunConfig) -> int:
        """Most padded tokens in a micro-batch that cut no step of these settings."""
        return whole_step_tokens(self._steps(config), self._num_processes)

    def states_bytes(self, config: RunConfig) -> int:
        """What a copy of the training data's cached states takes on a GPU; 0 where none is made."""
        if self.target.device != "cuda" or not config.cache_frozen_layers:
            return 0
        tokens = len(rows_read(self.features, self.model(config).family).input_ids)
        needs = self.cache_needs(config, tokens)
        return 0 if needs is None else device_bytes(needs.kept_bytes, tokens)

    def __call__(self, config: RunConfig) -> MemoryPrediction:
        """The prediction for these settings; its `flops` are those of a whole step."""
        if config not in self._known:
            steps = costliest_steps(self._steps(config))
            predictions = [self._of_step(config, step) for step in steps]
            found = max(predictions, key=lambda p: (p.needed_bytes, p.peak_bytes))
            if config.stream_frozen_layers:
                found = replace(found, building=self._of_building(config))
            self._known[config] = found
        return self._known[config]

    def cache_needs(self, config: RunConfig, tokens: int | None = None) -> CacheNeeds | None:
        """What the output of the frozen layers takes; None where it is not kept.

        Args:
            config: The settings.
            tokens: Tokens of all data; None: those of the data sets.
        """
        if not config.cache_frozen_layers:
            return None
        built = self.model(config)
        assert built.family is not None and config.trainable_layers is not None
        described = load_config(
            config.model_id, revision=config.revision, trust_remote_code=config.trust_remote_code
        )
        return cache_needs(
            forward_module(built.model),
            built.family,
            config.trainable_layers,
            {
                str(number): len(rows_read(split, built.family).input_ids)
                for number, split in enumerate(self._splits)
            }
            if tokens is None
            else {"all": tokens},
            target=self.target,
            cache_dtype=config.cache_dtype,
            streamed=config.stream_frozen_layers,
            weight_dtype=getattr(described, "dtype", None) or torch.float32,
        )

    def _of_building(self, config: RunConfig) -> MemoryPrediction:
        tokens = config.settled_micro_batch_tokens
        if self._most_frozen_tokens is not None:
            tokens = min(tokens, self._most_frozen_tokens)
        key = (config.trainable_layers, tokens)
        if key not in self._building:
            built = self.model(config)
            assert built.family is not None and config.trainable_layers is not None
            self._building[key] = simulate_building(
                forward_module(built.model),
                built.family,
                config.trainable_layers,
                self._splits,
                target=self.target,
                pad_token_id=self._pad_token_id,
                micro_batch_tokens=tokens,
                num_processes=self._num_processes,
            )
        return self._building[key]

    def _of_step(self, config: RunConfig, step: PlannedStep) -> MemoryPrediction:
        features, lengths = step.features, step.features.widths
        # Rows are dealt by length: the first process has the longest.
        share = step.micro_batches[0]
        heaviest = heaviest_of(share, features)
        # However a step is cut, what these look like is all that its peak depends on.
        shapes = tuple(
            (len(rows), *lengths[rows].tolist(), *features.shapes(rows)) for rows in heaviest
        )
        cut = replace(
            config, micro_batch_tokens=config.max_length, gradient_accumulation_steps=None
        )
        key = (cut, shapes, heaviest[0] is share[0])
        if key not in self._by_shape:
            self._by_shape[key] = self._predict(config, step.features, share)
        prediction = self._by_shape[key]
        simulated = step.features.padded_tokens(heaviest)
        return replace(prediction, flops=prediction.flops * step.padded_tokens // simulated)

    def _predict(
        self, config: RunConfig, features: Features, share: Sequence[MicroBatch]
    ) -> MemoryPrediction:
        return simulate_step(
            self.model(config),
            self.task,
            features,
            share,
            settings=config,
            target=self.target,
            pad_token_id=self._pad_token_id,
            trainable_layers=config.trainable_layers,
            num_processes=self._num_processes,
            extensions=self.extensions(config),
        )
