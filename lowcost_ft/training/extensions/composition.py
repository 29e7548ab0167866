"""The extensions of a run as one object, which steps, memory plan and checkpoints call."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from lowcost_ft.training.extensions.base import Extension

if TYPE_CHECKING:
    import torch

    from lowcost_ft.data.batching import MicroBatch
    from lowcost_ft.data.features import Features
    from lowcost_ft.training.checkpoint_files import Checkpoint
    from lowcost_ft.training.extensions.base import Outputs

    Batch = dict[str, torch.Tensor]
    Forward = Callable[[Batch], torch.Tensor]
    Loss = Callable[[torch.Tensor, Batch], torch.Tensor]

__all__ = ["REHEARSED_STEPS", "Extensions"]

REHEARSED_STEPS = 10**9
"""Length of the run that a rehearsal or a simulation begins, so that its steps are all early."""

_KEPT_EPOCHS = 16


class Extensions:
    """Extensions in the order in which they act.

    Each hook calls only the extensions that override it, so that the others cost no time.

    Attributes:
        around_backward: Whether any wraps the backward pass.
        changes_inputs: Whether any changes what the model reads.
        repeats: Whether any runs the same rows through the model several times.
        fits_head: Whether any makes the head at the end.
        follow_updates: Whether any acts after the weights have changed, and only then.
    """

    def __init__(self, extensions: Sequence[Extension] = ()) -> None:
        names = [extension.name for extension in extensions]
        assert len({*names, "weights", "optimizer", "best"}) == len(names) + 3, names
        self._all = tuple(extensions)
        self._epoch = self._overriding("epoch")
        self._batch = self._overriding("batch")
        self._forward = self._overriding("forward")
        self._loss = self._overriding("loss")
        self._backward = self._overriding("backward")
        self._penalty = self._overriding("penalty")
        self._after_update = self._overriding("after_update")
        self._swapping = self._overriding("swap_in")
        self._with_tensors = self._overriding("tensors")
        self.around_backward = bool(self._backward)
        self.changes_inputs = any(not e.regroups for e in self._epoch) or any(
            not e.keeps_inputs for e in self._batch
        )
        self.repeats = any(extension.repeats for extension in extensions)
        self.follow_updates = bool(self._after_update)
        self.fits_head = any(extension.fits_head for extension in extensions)
        self._epochs: dict[int, Features] = {}

    def _overriding(self, hook: str) -> tuple[Extension, ...]:
        own = getattr(Extension, hook)
        return tuple(e for e in self._all if getattr(type(e), hook) is not own)

    def notes(self) -> list[str]:
        """What the user should know before training begins."""
        return [note for extension in self._all for note in extension.notes()]

    def begin(self, total_steps: int) -> None:
        """Sets the state of all extensions to the beginning; see `Extension.begin`."""
        for extension in self._all:
            extension.begin(total_steps)

    def epoch(self, features: "Features", number: int) -> "Features":
        """The rows of an epoch, numbered from 0; the most recent epochs are kept in memory."""
        if not self._epoch:
            return features
        if number not in self._epochs:
            while len(self._epochs) >= _KEPT_EPOCHS:
                del self._epochs[next(iter(self._epochs))]
            for extension in self._epoch:
                features = extension.epoch(features, number)
            self._epochs[number] = features
        return self._epochs[number]

    def batch(self, batch: "Batch", rows: "MicroBatch", features: "Features") -> "Batch":
        """The tensors of a micro-batch as the extensions change them."""
        for extension in self._batch:
            batch = extension.batch(batch, rows, features)
        return batch

    def forward(self, plain: "Forward") -> "Forward":
        """The forward pass as the extensions wrap it."""
        for extension in reversed(self._forward):
            plain = partial(extension.forward, inner=plain)
        return plain

    def loss(self, plain: "Loss", forward: "Forward") -> "Loss":
        """The loss as the extensions wrap it."""
        for extension in reversed(self._loss):
            plain = partial(extension.loss, inner=plain, forward=forward)
        return plain

    def backward(self, plain: "Forward") -> "Forward":
        """Forward and backward pass of a micro-batch as the extensions wrap them."""
        for extension in reversed(self._backward):
            plain = partial(extension.backward, inner=plain)
        return plain

    def penalties(self) -> "Iterator[torch.Tensor]":
        """The terms whose gradient is added once a step, one after another."""
        for extension in self._penalty:
            yield extension.penalty()

    def after_update(self, number: int) -> None:
        """Called after the weights have changed, while their gradients are still there."""
        for extension in self._after_update:
            extension.after_update(number)

    def swap_in(self) -> None:
        """Puts the weights in that are scored and saved."""
        for extension in self._swapping:
            extension.swap_in()

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside the block, the model has the weights that are scored and saved."""
        self.swap_in()
        try:
            yield
        finally:
            for extension in reversed(self._swapping):
                extension.swap_out()

    def finish(self, outputs: "Outputs") -> None:
        """When the last weights are in the model."""
        for extension in self._all:
            extension.finish(outputs)

    def tensors(self) -> "dict[str, dict[str, torch.Tensor]]":
        """For a checkpoint, by the name of the extension."""
        return {extension.name: extension.tensors() for extension in self._with_tensors}

    def numbers(self) -> dict[str, dict[str, Any]]:
        """The rest of what a checkpoint needs."""
        return {extension.name: extension.numbers() for extension in self._all}

    def load(self, checkpoint: "Checkpoint") -> None:
        """Goes on from a checkpoint."""
        # Older checkpoints have these numbers beside all others.
        saved: Mapping[str, Any] = checkpoint.state.get("extensions", {})
        for extension in self._all:
            has_tensors = extension in self._with_tensors
            tensors = checkpoint.tensors(extension.name) if has_tensors else {}
            extension.load(tensors, saved.get(extension.name, checkpoint.state))

    def record(self, epochs: int) -> dict[str, dict[str, Any]]:
        """What run.json says of them, by their names."""
        records = {extension.name: extension.record(epochs) for extension in self._all}
        return {name: found for name, found in records.items() if found}

    def resident(self) -> "list[torch.Tensor]":
        """Tensors of theirs that take memory from step to step."""
        return [tensor for extension in self._all for tensor in extension.resident()]
