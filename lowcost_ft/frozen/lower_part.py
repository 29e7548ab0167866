"""The part of a model below its trainable layers, taken out of the model.

`LowerPart` runs the frozen layers alone, and puts stand-ins in their place that hand out what they
returned once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import nn

from lowcost_ft.errors import UserError
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.family import Family
from lowcost_ft.models.freezing import frozen_names

__all__ = ["LowerPart", "StandIn", "put_module"]


class LowerPart:
    """Everything below the trainable layers of one model, which it can leave and come back to.

    Attributes:
        first_layer: Number of the lowest trainable layer, from 0: where the states enter.
        num_trainable: How many layers there are from it on.
        modules: Path inside the backbone and module, for each that runs before it.
        takes_encoders: Whether it knows what to do with an encoder-decoder.
    """

    takes_encoders: ClassVar[bool] = False

    def __init__(self, model: Any, family: Family | None, trainable_layers: int) -> None:
        """
        Args:
            model: A task model of transformers, whole.
            family: Its entry in the table.
            trainable_layers: How many of the top layers train.

        Raises:
            UserError: The layers of this architecture are unknown, or one and the same.
        """
        if family is None or family.shared_layers:
            reason = (
                f"{family.name} uses one shared layer over and over"
                if family
                else f"the layers of model type {model.config.model_type!r} are not known"
            )
            raise UserError(f"cache_frozen_layers: {reason}; leave it out")
        if family.encoder_layers is not None and not self.takes_encoders:
            raise UserError(
                "stream_frozen_layers: needs all that enters the first trainable layer, and the "
                f"layers of {family.name}'s decoder read the encoder's output as well; leave it out"
            )
        layers = layer_list(model, family)
        self.first_layer = len(layers) - trainable_layers
        self.num_trainable = trainable_layers
        self.modules: dict[str, nn.Module] = {
            name: model.base_model.get_submodule(name)
            for name in frozen_names(model, family, trainable_layers)
        }
        self._model = model
        self._upper = list(layers)[self.first_layer :]
        self._states: torch.Tensor | None = None
        self._tuple_sizes: dict[str, int | None] = {}

    def run(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Runs the lower part alone.

        Args:
            inputs: What the model takes, `(batch, sequence)` each.

        Returns:
            What enters the first trainable layer, `(batch, sequence, hidden)`.
        """
        return self._run_until(self._upper[0], self.modules, inputs)

    def _run_until(
        self, entry: nn.Module, running: dict[str, nn.Module], inputs: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Runs the model until it enters a layer.

        Args:
            entry: The layer.
            running: Modules that run before it and are not stand-ins, by their names: how each
                returns its states is noted.
            inputs: What the model takes, `(batch, sequence)` each.
        """
        caught: list[torch.Tensor] = []

        def stop(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            caught.append(args[0] if args else kwargs["hidden_states"])
            raise _ReachedTheTop

        def note_kind(name: str, output: Any) -> None:
            self._tuple_sizes[name] = len(output) if isinstance(output, tuple) else None

        hooks = [entry.register_forward_pre_hook(stop, with_kwargs=True)]
        for name, module in running.items():
            hooks.append(module.register_forward_hook(lambda _, __, out, n=name: note_kind(n, out)))
        try:
            with torch.no_grad():
                self._model(**inputs)
        except _ReachedTheTop:
            return caught[0]
        finally:
            for hook in hooks:
                hook.remove()
        raise AssertionError("the model ran without the layer that it was to stop at")

    @contextmanager
    def taken_out(self) -> Iterator[None]:
        """Inside the block the model lacks the lower part, which waits on the CPU.

        The model runs only inside `entering`. `run` must have run before: it finds out what each
        module returns.
        """
        backbone = self._model.base_model
        device = next(self.tensors()).device
        waiting = torch.device("meta" if device.type == "meta" else "cpu")
        for name, module in self.modules.items():
            put_module(backbone, name, self.stand_in(name))
            self._move(module, waiting)
        try:
            yield
        finally:
            for name, module in self.modules.items():
                self._move(module, device)
                put_module(backbone, name, module)

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """Inside the block, which lies inside one of `taken_out`, the model is whole again."""
        backbone = self._model.base_model
        device = next(self.upper_tensors()).device
        away = {name: next(self._tensors(m)).device for name, m in self.modules.items()}
        stand_ins = {name: backbone.get_submodule(name) for name in self.modules}
        for name, module in self.modules.items():
            self._move(module, device)
            put_module(backbone, name, module)
        try:
            yield
        finally:
            for name, module in self.modules.items():
                put_module(backbone, name, stand_ins[name])
                self._move(module, away[name])

    def stand_in(self, name: str) -> nn.Module:
        """A module that hands out the states in place of the one of that name."""
        return StandIn(self, name)

    @contextmanager
    def entering(self, states: torch.Tensor) -> Iterator[None]:
        """Inside the block the stand-ins hand out `states`, `(batch, sequence, hidden)`."""
        self._states = states
        try:
            yield
        finally:
            self._states = None

    def tensors(self) -> Iterator[torch.Tensor]:
        """Parameters and buffers of the lower part."""
        for module in self.modules.values():
            yield from self._tensors(module)

    def _tensors(self, module: nn.Module) -> Iterator[torch.Tensor]:
        for part in self._movable(module):
            yield from part.parameters()
            yield from part.buffers()

    def _movable(self, module: nn.Module) -> list[nn.Module]:
        """What of a module of the lower part the rest of the model does not need."""
        return [module]

    def _move(self, module: nn.Module, device: torch.device) -> None:
        for part in self._movable(module):
            part.to(device)

    def upper_tensors(self) -> Iterator[torch.Tensor]:
        """Parameters and buffers of the trainable layers."""
        for layer in self._upper:
            yield from layer.parameters()
            yield from layer.buffers()


class _ReachedTheTop(Exception):  # noqa: N818 - not an error
    """Ends a forward pass where the trainable layers begin."""


class StandIn(nn.Module):
    """Returns the states of the current micro-batch in the way of the module it stands for.

    Every module of the lower part returns them, the embeddings too: their shape, type and device
    are what the model builds its masks and positions from.
    """

    def __init__(self, part: LowerPart, name: str) -> None:
        super().__init__()
        # In a tuple, so that the module that is away does not count as a part of this one.
        self.part_and_replaced = (part, part.modules[name])
        self.name = name

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # ModernBERT asks a layer for its kind of attention.
            return getattr(self.part_and_replaced[1], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        part = self.part_and_replaced[0]
        states, tuple_size = part._states, part._tuple_sizes[self.name]
        assert states is not None, "a micro-batch without LowerPart.entering"
        return states if tuple_size is None else (states, *[None] * (tuple_size - 1))


def put_module(backbone: nn.Module, path: str, module: nn.Module) -> None:
    """Replaces the module at a path."""
    parent, _, name = path.rpartition(".")
    setattr(backbone.get_submodule(parent), name, module)
