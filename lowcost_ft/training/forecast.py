"""What the costliest step of a run will need, for any settings that the run could have."""

from collections.abc import Callable
from dataclasses import replace

from lowcost_ft.config import RunConfig
from lowcost_ft.data.batching import padded_tokens
from lowcost_ft.data.features import Features
from lowcost_ft.memory.operators import Target
from lowcost_ft.memory.simulate import Prediction
from lowcost_ft.models.loading import BuiltModel
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.simulated_step import heaviest_micro_batches, simulate_step
from lowcost_ft.training.step_plan import PlannedStep, costliest_steps, planned_steps

__all__ = ["Forecast"]

_BUILD_FIELDS = ("method", "quantization", "trainable_layers", "gradient_checkpointing")
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
    ) -> None:
        """
        Args:
            build: Builds the model of some settings on the meta device.
            task: Its loss.
            features: The training data.
            target: The hardware.
            pad_token_id: Token that fills up a micro-batch.
            num_processes: How many train together.
        """
        self.task = task
        self.features = features
        self.target = target
        self._build = build
        self._pad_token_id = pad_token_id
        self._num_processes = num_processes
        self._built: dict[tuple, BuiltModel] = {}
        self._known: dict[RunConfig, Prediction] = {}

    def model(self, config: RunConfig) -> BuiltModel:
        """The model of these settings, without weights; built once."""
        key = tuple(getattr(config, name) for name in _BUILD_FIELDS)
        if key not in self._built:
            self._built[key] = self._build(config)
        return self._built[key]

    def __call__(self, config: RunConfig) -> Prediction:
        """The prediction for these settings; its `flops` are those of a whole step."""
        if config not in self._known:
            steps = costliest_steps(
                planned_steps(self.features, config, self._num_processes), self.features
            )
            predictions = [self._predict(config, step) for step in steps]
            self._known[config] = max(predictions, key=lambda p: (p.needed_bytes, p.peak_bytes))
        return self._known[config]

    def _predict(self, config: RunConfig, step: PlannedStep) -> Prediction:
        lengths = self.features.lengths
        share = step.micro_batches[
            0
        ]  # Rows are dealt by length: the first process has the longest.
        prediction = simulate_step(
            self.model(config),
            self.task,
            self.features,
            share,
            settings=config,
            target=self.target,
            pad_token_id=self._pad_token_id,
            trainable_layers=config.trainable_layers,
            num_processes=self._num_processes,
        )
        simulated = padded_tokens(heaviest_micro_batches(share, lengths), lengths)
        return replace(prediction, flops=prediction.flops * step.padded_tokens // simulated)
