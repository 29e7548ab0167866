"""A model whose lower layers stay in the checkpoint, and are read one at a time where they run.

Of a checkpoint of L layers, the embeddings and the lower L - K layers are left where they are: the
model has stand-ins in their place from the start. `StreamedPart` reads one of them, runs it on
every example, and forgets it, so memory holds the upper K layers, the head, and one lower layer,
however many there are.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from lowcost_ft.errors import UserError
from lowcost_ft.frozen.lower_part import LowerPart, put_module
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.family import Family
from lowcost_ft.models.loading import BuiltModel, task_model
from lowcost_ft.models.streamed_weights import StreamedWeights

__all__ = ["Seen", "StreamedPart", "stage_bytes", "streamed_part"]

Seen = Callable[[str, torch.Tensor], None]
"""Is shown each weight that is read: its path inside the backbone, and the weight."""


def lower_stages(part: LowerPart, family: Family) -> list[list[str]]:
    """Names of the modules that are in memory together: the embeddings, then each layer."""
    stages = [[name for name in part.modules if name in family.embeddings]]
    stages += [[f"{family.layers}.{index}"] for index in range(part.first_layer)]
    if part.first_layer:
        stages[1] += [name for name in part.modules if name in family.after_first_layer]
    return stages


def stage_bytes(part: LowerPart, family: Family) -> list[int]:
    """Bytes of the weights of each stage; the model may be on the meta device."""
    return [
        sum(p.nbytes for name in stage for p in part.modules[name].parameters())
        for stage in lower_stages(part, family)
    ]


class StreamedPart(LowerPart):
    """The lower part of a model that `load_upper_part` loaded.

    Its modules never come into the model all at once, nor back in the end: the model runs inside
    `entering` only.

    Attributes:
        stages: Names of the modules that are in memory together: the embeddings, then each layer.
        num_parameters: Number of parameters of all stages.
        largest_stage_bytes: The most that a stage's weights take.
        bytes_read: Bytes of weights read so far, in the precision that they are used in.
    """

    def __init__(
        self, model: Any, family: Family, trainable_layers: int, weights: StreamedWeights
    ) -> None:
        """Puts the stand-ins in place.

        Args:
            model: What `load_upper_part` returned, or that with adapters in its upper layers.
            family: Its entry in the table.
            trainable_layers: How many of the top layers are there.
            weights: Where the others lie.
        """
        super().__init__(model, family, trainable_layers)
        self._family, self._weights = family, weights
        self.stages = lower_stages(self, family)
        self.largest_stage_bytes = max(stage_bytes(self, family))
        self.num_parameters = sum(p.numel() for m in self.modules.values() for p in m.parameters())
        self.bytes_read = 0
        self._device: torch.device | None = None
        for name in self.modules:
            put_module(model.base_model, name, self.stand_in(name))

    def of(self, model: Any) -> "StreamedPart":
        """This part for another model of the same checkpoint, which gets stand-ins, too."""
        other = StreamedPart(model, self._family, self.num_trainable, self._weights)
        other._tuple_sizes = self._tuple_sizes
        return other

    def run(self, inputs: dict[str, torch.Tensor], seen: Seen | None = None) -> torch.Tensor:
        """Runs all stages on one micro-batch, which reads every weight of the lower part once.

        Args:
            inputs: What the model takes, `(batch, sequence)` each.
            seen: Is shown the weights.

        Returns:
            What enters the first trainable layer, `(batch, sequence, hidden)`.
        """
        states: torch.Tensor | None = None
        with self.upper_waiting():
            for stage in range(len(self.stages)):
                with self.in_memory(stage, seen):
                    states = self.run_stage(stage, inputs, states)
        assert states is not None
        return states

    @contextmanager
    def upper_waiting(self) -> Iterator[None]:
        """Inside the block the trainable layers of a model on a GPU wait in the host's memory.

        They do not run then, and the embeddings alone may fill a small card.
        """
        device = self._model.device
        self._device = device
        try:
            self._move_upper(torch.device("cpu"))
            yield
        finally:
            self._move_upper(device)
            self._device = None

    def _move_upper(self, device: torch.device) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # Pieces of other sizes are wanted next.
        for layer in self._upper:
            layer.to(device)

    @contextmanager
    def in_memory(self, stage: int, seen: Seen | None = None) -> Iterator[None]:
        """Inside the block the modules of one stage are in the model, on its device."""
        backbone = self._model.base_model
        names = self.stages[stage]
        waiting = {name: backbone.get_submodule(name) for name in names}
        try:
            for name in names:
                put_module(backbone, name, self._read(name, seen))
            yield
        finally:
            for name in names:
                put_module(backbone, name, waiting[name])

    def run_stage(
        self, stage: int, inputs: dict[str, torch.Tensor], states: torch.Tensor | None
    ) -> torch.Tensor:
        """Runs a stage that is `in_memory`.

        Args:
            stage: Its number.
            inputs: What the model takes, `(batch, sequence)` each.
            states: What the stage before returned; None for the first.

        Returns:
            What enters the next layer, `(batch, sequence, hidden)`.
        """
        backbone = self._model.base_model
        running = {name: backbone.get_submodule(name) for name in self.stages[stage]}
        entry = layer_list(self._model, self._family)[stage]
        with self.entering(states) if states is not None else nullcontext():
            return self._run_until(entry, running, inputs)

    def taken_out(self) -> Any:
        """The lower part is never in the model, so there is nothing to take out."""
        return nullcontext()

    def put_back(self) -> Any:
        """Refuses: the lower part is never in memory as a whole.

        Raises:
            UserError: Always.
        """
        raise UserError(
            "stream_frozen_layers: this task writes text, for which all layers must be in memory "
            "together; leave the flag out"
        )

    def tensors(self) -> Iterator[torch.Tensor]:
        """None: nothing of it is in memory."""
        return iter(())

    def _read(self, name: str, seen: Seen | None) -> nn.Module:
        module = copy.deepcopy(self.modules[name])
        weights = {}
        for key, empty in module.state_dict().items():
            path = f"{name}.{key}"
            source = f"{self._model.base_model_prefix}.{path}"
            weights[key] = self._weights.read(source, empty.dtype)
            self.bytes_read += weights[key].nbytes
            if seen is not None:
                seen(path, weights[key])
        module.load_state_dict(weights, assign=True)
        return module.to(self._device or self._model.device)


def streamed_part(built: BuiltModel, trainable_layers: int | None) -> StreamedPart | None:
    """Puts stand-ins where `built` left layers on disk; None if it left none there."""
    if built.streamed_weights is None:
        return None
    assert built.family is not None and trainable_layers is not None
    model = task_model(built.model)
    return StreamedPart(model, built.family, trainable_layers, built.streamed_weights)
