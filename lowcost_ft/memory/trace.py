"""Records what tensors hold while code runs on the meta device, where tensors have shapes only.

Floats are never computed: they live on the meta device. Integers and booleans (token ids, masks,
labels) are computed for real, since models look at their values to decide what to do next.
"""

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["Trace"]

_META = torch.device("meta")
_CPU = torch.device("cpu")
_COPY = torch.ops.aten._to_copy.default
_ARANGE = torch.ops.aten.arange


class Trace(TorchDispatchMode):
    """Inside the block, notes when each storage comes and goes.

    A storage comes when an operator returns it and goes when nothing refers to it any more, which
    is when PyTorch would free it. Memory that an operator needs meanwhile, and that no one outside
    sees, is what `scratch` says.

    Attributes:
        events: Change in bytes and number of the storage, in the order of time. Scratch memory
            comes and goes with a number of its own.
        kinds: What a storage turned out to be, by its number. Unnamed ones that a forward pass
            made for a backward pass are "activations"; all others are "temporary".
        flops: Floating-point operations of the matrix products and attention kernels so far.
    """

    def __init__(
        self,
        *,
        scratch: Callable[[Any, Sequence[Any], dict[str, Any], Any], int],
        copies_to_device: bool,
    ) -> None:
        """
        Args:
            scratch: Bytes that an operator allocates and frees again: of the operator, its
                arguments, and what it returned.
            copies_to_device: Whether a batch is copied to the device; on a CPU it is there already.
        """
        super().__init__()
        self.scratch = scratch
        self.copies_to_device = copies_to_device
        self.events: list[tuple[int, int]] = []
        self.kinds: dict[int, str] = {}
        self.flops = 0
        self._numbers: dict[int, int] = {}
        self._references: dict[int, Any] = {}
        self._of_forward: set[int] = set()
        self._next = 0

    def add(self, tensors: Iterable[torch.Tensor], kind: str) -> None:
        """Counts tensors that exist already."""
        for tensor in tensors:
            number = self._note(tensor)
            if number is not None:
                self.kinds[number] = kind

    def add_bytes(self, num_bytes: int, kind: str) -> None:
        """Counts memory that is there throughout and belongs to no tensor."""
        self.events.append((num_bytes, self._next))
        self.kinds[self._next] = kind
        self._next += 1

    def name(self, tensors: Iterable[torch.Tensor], kind: str) -> None:
        """Says what tensors that were noted before are."""
        for tensor in tensors:
            number = self._numbers.get(tensor.untyped_storage()._cdata)
            if number is not None:
                self.kinds[number] = kind

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [*_tensors(args), *_tensors(kwargs.values())]
        for tensor in tensors:
            if not tensor.is_meta:
                self._note(tensor, size=0)  # If it is new, it is memory of NumPy's.
        if kwargs.get("device") == _META and not any(t.is_meta for t in tensors):
            same_dtype = func is _COPY and kwargs.get("dtype") in (None, args[0].dtype)
            if same_dtype and not self.copies_to_device and not args[0].is_floating_point():
                return args[0]  # On a CPU the batch is there already.
            if _makes_integers(func, args, kwargs):
                kwargs = kwargs | {"device": _CPU}
        elif func is _COPY and kwargs.get("device") == _CPU and args[0].is_meta:
            return self._copied_to_host(args[0])
        elif any(t.is_meta for t in tensors):
            args = _on_meta(args)
            kwargs = {name: _on_meta(value) for name, value in kwargs.items()}
        out = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=out)
        for tensor in _tensors((out,)):
            self._note(tensor)
        extra = self.scratch(func, args, kwargs, out)
        if extra:
            self.events += [(extra, self._next), (-extra, self._next)]
            self._next += 1
        return out

    def _copied_to_host(self, tensor: torch.Tensor) -> torch.Tensor:
        """What `.cpu()` returns: on a CPU the tensor itself, on a GPU none of its memory."""
        if not self.copies_to_device:
            return tensor
        copy = torch.empty_like(tensor)
        self._note(copy, size=0)
        return copy

    def _note(self, tensor: torch.Tensor, size: int | None = None) -> int | None:
        """Counts a tensor's storage, unless it is known; returns its number if it is new."""
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address in self._numbers:
            return None
        number, size = self._next, storage.nbytes() if size is None else size
        self._next += 1
        self._numbers[address] = number
        if _in_forward():
            self._of_forward.add(number)

        def gone(_: Any) -> None:
            self.events.append((-size, number))
            del self._numbers[address], self._references[address]
            # Made by a forward pass and still there in the backward pass: kept for it.
            if number in self._of_forward and not _in_forward():
                self.kinds.setdefault(number, "activations")

        self._references[address] = weakref.ref(storage, gone)
        self.events.append((size, number))
        return number

    def peak(self, sizes: Mapping[int, int] | None = None) -> tuple[int, dict[str, int]]:
        """Most bytes held at one moment, and how many of them each kind held then.

        Args:
            sizes: What each storage takes of the device, where that is not its own size.
        """
        held = most = moment = 0
        changes = [
            (change if sizes is None else sizes[number] * (1 if change > 0 else -1), number)
            for change, number in self.events
            if change
        ]
        for position, (change, _) in enumerate(changes):
            held += change
            if held > most:
                most, moment = held, position
        parts: dict[str, int] = defaultdict(int)
        for change, number in changes[: moment + 1]:
            parts[self.kinds.get(number, "temporary")] += change
        return most, dict(parts)


def _in_forward() -> bool:
    """Whether a forward pass runs, be it the second one of gradient checkpointing."""
    return torch._C._current_graph_task_id() == -1 or torch.is_grad_enabled()


def _tensors(values: Iterable[Any]) -> list[torch.Tensor]:
    found = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _on_meta(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value if value.is_meta else value.to(_META)
    if isinstance(value, list | tuple):
        return type(value)(_on_meta(item) for item in value)
    return value


def _makes_integers(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    dtype = kwargs.get("dtype")
    if dtype is not None:
        return not dtype.is_floating_point
    if func is _COPY:
        return not args[0].is_floating_point()
    return func._overloadpacket is _ARANGE and all(isinstance(a, int) for a in args)
