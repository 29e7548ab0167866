"""Many adapters on one base model, in one forward pass: what no adapter changes runs once.

A group has models that differ in their adapters and heads alone, and whose adapters begin at the
same layer. Its forward pass has three parts:

- the embeddings and the layers below the first adapter, once for each distinct text;
- the layers from there on, on the rows of all adapters together; what an adapter changes computes
  each adapter's rows in its own way (`dispatch.py`), everything else all rows at once;
- what follows the layers (norm, pooler, head), by each model for its own rows.

No weight is copied. Multi-adapter serving in one batch is as in S-LoRA (Sheng et al., 2023) and
Punica (Chen et al., 2023); peft's own mixed batches need one head for all and plain LoRA.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn

from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.family import Family
from lowcost_ft.models.pooled_states import keep_states, middle_layer
from lowcost_ft.serve.dispatch import Segments, dispatching

__all__ = ["Group", "GroupError", "first_changed_layer"]


class GroupError(Exception):
    """Why models cannot run together."""


def first_changed_layer(model: Any, family: Family | None) -> int:
    """The lowest layer that the adapter of a model changes; the number of layers for none.

    Args:
        model: A task model of transformers, with an adapter in its layers.
        family: Its entry in the table.

    Raises:
        GroupError: Its layers are not known, or it is more than such a model.
    """
    if family is None or family.shared_layers or not hasattr(model, "base_model_prefix"):
        raise GroupError("its layers cannot be run one by one")
    layers = layer_list(model, family)
    inside = {id(module) for layer in layers for module in layer.modules()}
    if any(isinstance(m, BaseTunerLayer) and id(m) not in inside for m in model.modules()):
        raise GroupError("its adapter changes more than layers")
    for number, layer in enumerate(layers):
        if any(isinstance(m, BaseTunerLayer | ModulesToSaveWrapper) for m in layer.modules()):
            return number
    return len(layers)


class Group:
    """Models that run together.

    Attributes:
        first: The first layer that an adapter changes.
        count: How many models there are.
        middle_is_lower: Whether `take_states` has the middle layer's states after `lower_states`;
            else after `upper_states`.

    Args:
        models: Task models of transformers with adapters inside, which share their base model's
            weights (`share_weights`).
        family: Their entry in the table.
        probe: Inputs of any text, `(1, sequence)`: shows what each layer returns.

    Raises:
        GroupError: They differ in more than adapters and heads.
    """

    def __init__(
        self,
        models: Sequence[Any],
        family: Family,
        probe: Mapping[str, torch.Tensor],
    ) -> None:
        firsts = {first_changed_layer(model, family) for model in models}
        if len(firsts) != 1:
            raise GroupError("their adapters begin at different layers")
        self.first = firsts.pop()
        self.count = len(models)
        self._segments = Segments()
        self._states: list[torch.Tensor | None] = [None]
        reference, layers = models[0], layer_list(models[0], family)
        self._depth = len(layers)
        _check_lower(models, family, self.first)
        lower = [*family.embeddings, *(f"{family.layers}.{n}" for n in range(self.first))]
        lower += family.after_first_layer if self.first else ()
        rest = [f"{family.layers}.{n}" for n in range(self.first, self._depth)]
        kinds = _kinds(reference, [*lower, *rest, *family.after_first_layer], probe)

        def stand_ins(model: Any, names: Sequence[str]) -> dict[int, nn.Module]:
            found: dict[int, nn.Module] = {}
            for name in names:
                if name in kinds:
                    module = model.base_model.get_submodule(name)
                    found[id(module)] = _StandIn(self._states, module, kinds[name])
            return found

        self._lower = _copied(reference, {})
        if self.first < self._depth:
            entry = layer_list(self._lower, family)[self.first]
            entry.register_forward_pre_hook(_stop_before, with_kwargs=True)
            changed = dispatching(
                [[*layer_list(model, family)][self.first :] for model in models], self._segments
            )
            self._upper = _copied(reference, stand_ins(reference, lower) | changed)
            layer_list(self._upper, family)[-1].register_forward_hook(_stop_behind)
        else:
            layer_list(self._lower, family)[-1].register_forward_hook(_stop_behind)
        everything = [*lower, *rest, *family.after_first_layer]
        self._tops = [_copied(model, stand_ins(model, everything)) for model in models]
        # The layer whose states tell unlike texts apart runs in one of these, for all models.
        self.middle_is_lower = middle_layer(self._depth) < self.first
        keep_states(self._lower if self.middle_is_lower else self._upper)

    def models(self) -> list[Any]:
        """The models that it runs, which hold no weights of their own."""
        return [self._lower, *([self._upper] if self.first < self._depth else []), *self._tops]

    def lower_states(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What enters the first layer that an adapter changes, `(texts, sequence, width)`."""
        return _until_stopped(self._lower, inputs)

    def upper_states(
        self,
        states: torch.Tensor,
        inputs: Mapping[str, torch.Tensor],
        segments: Sequence[tuple[int, int, int]],
    ) -> torch.Tensor:
        """What leaves the last layer, `(rows, sequence, width)`.

        Args:
            states: What enters the first changed layer, a row for each of `inputs`.
            inputs: What the models take, `(rows, sequence)`, the rows of a model together.
            segments: Number of a model, its first row, and the row after its last; ascending.
        """
        if self.first == self._depth:
            return states
        with self._holding(states), self._segments.set(segments):
            return _until_stopped(self._upper, inputs)

    @contextmanager
    def top(self, number: int, states: torch.Tensor) -> Iterator[Any]:
        """A model that goes on from what left its last layer; inside the block alone.

        Args:
            number: Number of the model.
            states: `(rows, sequence, width)` of the rows that it will be called with.
        """
        with self._holding(states):
            yield self._tops[number]

    @contextmanager
    def _holding(self, states: torch.Tensor) -> Iterator[None]:
        self._states[0] = states
        try:
            yield
        finally:
            self._states[0] = None


class _Stopped(Exception):  # noqa: N818 - not an error
    """Ends a forward pass where its states are known."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.states = states


def _stop_before(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
    raise _Stopped(args[0] if args else kwargs["hidden_states"])


def _stop_behind(module: nn.Module, args: Any, output: Any) -> None:
    raise _Stopped(output[0] if isinstance(output, tuple) else output)


def _until_stopped(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    try:
        model(**inputs)
    except _Stopped as stopped:
        return stopped.states
    raise AssertionError("the model ran without the layer that it was to stop at")


class _StandIn(nn.Module):
    """Returns the states that are held in the way of the module that it stands for."""

    def __init__(
        self, held: list[torch.Tensor | None], module: nn.Module, tuple_size: int | None
    ) -> None:
        super().__init__()
        # In a tuple, so that the module does not count as a part of this one.
        self.held_and_replaced = (held, module)
        self.tuple_size = tuple_size

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # ModernBERT asks a layer for its kind of attention.
            return getattr(self.held_and_replaced[1], name)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_StandIn":
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        states = self.held_and_replaced[0][0]
        assert states is not None, "a model of a group ran outside of it"
        return states if self.tuple_size is None else (states, *[None] * (self.tuple_size - 1))


def _copied(model: Any, replaced: Mapping[int, nn.Module]) -> Any:
    """A copy that shares the model's tensors, with other modules in place of some.

    Args:
        model: The model.
        replaced: By the address of a module, what stands there in the copy.
    """
    tensors = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, {**tensors, **replaced})


def _kinds(
    model: Any, names: Sequence[str], probe: Mapping[str, torch.Tensor]
) -> dict[str, int | None]:
    """How modules of the backbone return their states: in a tuple of which size, or bare."""
    found: dict[str, int | None] = {}
    copied = _copied(model, {})
    present = {name for name, _ in copied.base_model.named_modules()}

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            found[name] = len(output) if isinstance(output, tuple) else None

        return hook

    for name in dict.fromkeys(names):
        if name in present:
            copied.base_model.get_submodule(name).register_forward_hook(note(name))
    with torch.inference_mode():
        copied(**probe)
    return found


def _check_lower(models: Sequence[Any], family: Family, first: int) -> None:
    """Refuses models that differ below the first changed layer."""
    names = [*family.embeddings, *(f"{family.layers}.{n}" for n in range(first))]
    seen = []
    for model in models:
        present = {name for name, _ in model.base_model.named_modules()}
        modules = [model.base_model.get_submodule(name) for name in names if name in present]
        seen.append([p.data_ptr() for module in modules for p in module.parameters()])
    if any(other != seen[0] for other in seen[1:]):
        raise GroupError("they do not share the weights below their adapters")
