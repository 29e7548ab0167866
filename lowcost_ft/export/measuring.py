"""A run and its validation split, on which every form of its model is measured."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.export.choosing import choose_float_layers
from lowcost_ft.export.graph import build_graph
from lowcost_ft.export.smaller import Layer, quantize
from lowcost_ft.export.timing import Speed, time_in_turns
from lowcost_ft.models.onnx_model import OnnxModel
from lowcost_ft.pipeline.comparing import Comparison, Drift
from lowcost_ft.record.environment import int8_instructions
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.heads import find_head

__all__ = ["Limits", "Measuring"]

_TIMED_TEXTS = 64
_TOGETHER = 8
"""Rows of a micro-batch whose logits are compared: padded ones must come out alike."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far the answers of a smaller form may be from those of float32."""

    max_drift: float
    """Largest share of predictions that may change."""
    max_score_drop: float
    """Largest loss of the score."""

    def broken_by(self, drift: Drift) -> str | None:
        """Which limit is not kept, in words; None where all are."""
        if drift.drift > self.max_drift:
            return (
                f"{drift.drift:.2%} of the predictions change, more than --max-drift "
                f"{self.max_drift:g}"
            )
        drop = drift.score_before - drift.score_after
        if drop > self.max_score_drop:
            return (
                f"the validation {drift.metric} falls by {drop:.4f}, more than --max-score-drop "
                f"{self.max_score_drop:g}"
            )
        return None


class Measuring(Comparison):
    """A run and its validation split, on which all forms of its model are measured."""

    def logits(self, model: Any) -> torch.Tensor:
        """Logits of the first rows, padded together."""
        return self.outputs(model, together=_TOGETHER)

    def graph(self, model: Any) -> Any:
        """The model as ONNX in float32."""
        batch = self._batch(self.features, 0)
        head = find_head(self.task.head)
        return build_graph(
            model,
            self.task.forward,
            inputs=list(batch),
            outputs=head.outputs,
            per_text=head.outputs if head.per_text else (),
        )

    def runs(self, graph: Any, precision: str) -> OnnxModel:
        """Something that runs a graph."""
        return OnnxModel(graph.SerializeToString(), None, precision)

    def rounded(self, graph: Any, layers: Collection[Layer]) -> Any:
        """The graph with some layers in 8 bits, as this CPU can multiply them."""
        return quantize(graph, layers, reduced_range=int8_instructions() is None)

    def left_in_float(
        self,
        graph: Any,
        exact: OnnxModel,
        reference: Predictions,
        layers: Sequence[Layer],
        limits: Limits,
    ) -> list[Layer]:
        """The layers that int8 must leave in float32; see `choose_float_layers`.

        Args:
            graph: The graph in float32.
            exact: What runs it.
            reference: Its predictions.
            layers: Its layers.
            limits: What may change.
        """
        logits = self.logits(exact)

        def error_of(layer: Layer) -> float:
            alone = self.runs(self.rounded(graph, [layer]), "int8")
            bar.update()
            return float((self.logits(alone) - logits).square().mean())

        def holds(rounded: Collection[Layer]) -> bool:
            found = self.predict(self.runs(self.rounded(graph, rounded), "int8"))
            return limits.broken_by(self.drift(reference, found)) is None

        with tqdm(total=len(layers), disable=None, leave=False, unit="layer") as bar:
            return choose_float_layers(layers, holds=holds, error_of=error_of)

    def speeds(self, models: dict[str, Any]) -> dict[str, Speed]:
        """Speeds on some texts of the validation split, spread over it."""
        step = max(1, len(self.examples) // _TIMED_TEXTS)
        some = list(self.examples)[::step][:_TIMED_TEXTS]
        limit = self.run["config"]["max_length"]
        features = self.task.featurize(some, self.tokenizer, max_length=limit)
        batches = [self._batch(features, row) for row in range(len(features.lengths))]

        def alone(model: Any, inputs: Any) -> None:
            with torch.inference_mode():
                model(**inputs)

        return time_in_turns(
            {
                name: (
                    # PyTorch is given what makes it fast: a thread for each part of the texts.
                    partial(
                        self.predict, model, features, concurrent=not isinstance(model, OnnxModel)
                    ),
                    [partial(alone, model, inputs) for inputs in batches],
                )
                for name, model in models.items()
            },
            texts=len(some),
        )

    def _batch(self, features: Features, row: int) -> dict[str, torch.Tensor]:
        pad_token_id = self.tokenizer.pad_token_id
        batch = collate(features, np.array([row]), pad_token_id=pad_token_id)
        return model_inputs(batch, features)
