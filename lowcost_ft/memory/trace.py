"""Records what tensors hold while code runs on the meta device, where tensors have shapes only.

Floats are never computed: they live on the meta device. Integers and booleans (token ids, masks,
labels) are computed for real, since models look at their values to decide what to do next.
"""

import functools
import weakref
from collections import Counter, defaultdict
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
_WITHOUT_KERNEL = {
    getattr(torch.ops.aten, name)
    for name in ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")
} | {torch.ops.aten._unsafe_view, torch.ops.aten.lift_fresh}


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
        operations: Operators so far that a device has to start a kernel for, by their part of the
            step: "forward", "backward" or "update". Views and unfilled memory need none.
        updating: Whether the passes are over, so that what comes now updates the weights.
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
        self.operations: Counter[str] = Counter()
        self.updating = False
        self._numbers: dict[int, int] = {}
        self._references: dict[int, Any] = {}
        self._of_forward: set[int] = set()
        self._next = 0
        self._known: dict[Any, tuple[list[Any], int, int]] = {}

    def add(self, tensors: Iterable[torch.Tensor], kind: str) -> None:
        """Counts tensors that exist already."""
        for tensor in tensors:
            number = self._note(tensor)
            if number is not None:
                self.kinds[number] = kind

    def add_bytes(self, num_bytes: int, kind: str) -> Callable[[], None]:
        """Counts memory that belongs to no tensor; it is there until what is returned is called."""
        number = self._next
        self.events.append((num_bytes, number))
        self.kinds[number] = kind
        self._next += 1
        return lambda: self.events.append((-num_bytes, number))

    def name(self, tensors: Iterable[torch.Tensor], kind: str) -> None:
        """Says what tensors that were noted before are."""
        for tensor in tensors:
            number = self._numbers.get(tensor.untyped_storage()._cdata)
            if number is not None:
                self.kinds[number] = kind

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # Other modes must not see these calls: they are not the model's.
        with torch._C.DisableTorchFunction():
            return self._dispatch(func, args, kwargs or {})

    def _dispatch(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        tensors = [*_tensors(args), *_tensors(kwargs.values())]
        real = [tensor for tensor in tensors if not tensor.is_meta]
        for tensor in real:
            self._note(tensor, size=0)  # If it is new, it is memory of NumPy's.
        if kwargs.get("device") == _META and len(real) == len(tensors):
            same_dtype = func is _COPY and kwargs.get("dtype") in (None, args[0].dtype)
            if same_dtype and not self.copies_to_device and not args[0].is_floating_point():
                return args[0]  # On a CPU the batch is there already.
            if _makes_integers(func, args, kwargs):
                kwargs = kwargs | {"device": _CPU}
        elif func is _COPY and kwargs.get("device") == _CPU and args[0].is_meta:
            return self._copied_to_host(args[0])
        elif real and len(real) < len(tensors):
            args = _on_meta(args)
            kwargs = {name: _on_meta(value) for name, value in kwargs.items()}
        out, flops, extra = self._run(func, args, kwargs)
        self.flops += flops
        if _starts_kernel(func):
            self.operations[self._part()] += 1
        for tensor in _tensors((out,)):
            self._note(tensor)
        if extra:
            self.events += [(extra, self._next), (-extra, self._next)]
            self._next += 1
        return out

    def _part(self) -> str:
        if self.updating:
            return "update"
        return "forward" if torch._C._current_graph_task_id() == -1 else "backward"

    def _run(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, int, int]:
        """What an operator returns, its floating-point operations, and its scratch memory.

        Layers that are alike call the same operators with the same shapes, and most kernels of the
        meta device are slow Python. So what one has returned once is made again without it, where
        it is new memory of which shapes alone decide.
        """
        key = _key((func, args, kwargs)) if _returns_new(func) else None
        if key in self._known:
            made, flops, extra = self._known[key]
            out = [m and torch.empty_strided(m[0], m[1], dtype=m[2], device=_META) for m in made]
            return (out[0] if len(out) == 1 else tuple(out)), flops, extra
        out = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        flops = formula(*args, **kwargs, out_val=out) if formula is not None else 0
        extra = self.scratch(func, args, kwargs, out)
        if key is not None:
            shapes = _as_made(out, args)
            if shapes is not None:
                self._known[key] = shapes, flops, extra
        return out, flops, extra

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


@functools.cache
def _returns_new(func: Any) -> bool:
    """Whether an operator neither changes an argument nor returns a view of one."""
    values = (*func._schema.arguments, *func._schema.returns)
    return all(value.alias_info is None for value in values)


@functools.cache
def _starts_kernel(func: Any) -> bool:
    """Whether an operator computes or moves numbers: a view or unfilled memory does neither."""
    if func._overloadpacket in _WITHOUT_KERNEL:
        return False
    returns = func._schema.returns
    seen = [value for value in returns if value.alias_info and not value.alias_info.is_write]
    return not returns or len(seen) < len(returns)


def _key(value: Any) -> Any:
    """All that a result on the meta device can depend on; compares as its parts do."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.stride(), value.dtype, value.device
    if isinstance(value, list | tuple):
        return tuple(_key(item) for item in value)
    if isinstance(value, dict):
        return tuple((name, _key(item)) for name, item in value.items())
    return type(value), value  # 1 equals 1.0 and True.


def _as_made(out: Any, args: Sequence[Any]) -> list[Any] | None:
    """Shape, strides and type of each tensor returned; None where those are not all there is."""
    made: list[Any] = []
    addresses = {tensor.untyped_storage()._cdata for tensor in _tensors(args)}
    for tensor in out if isinstance(out, tuple) else (out,):
        if tensor is None:
            made.append(None)
            continue
        if not isinstance(tensor, torch.Tensor) or not tensor.is_meta:
            return None
        like = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=_META)
        storage, size = tensor.untyped_storage(), like.untyped_storage().nbytes()
        address = storage._cdata
        if address in addresses or storage.nbytes() != size:
            return None
        addresses.add(address)
        made.append((tensor.shape, tensor.stride(), tensor.dtype))
    return made


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
