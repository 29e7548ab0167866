"""Modules that compute each adapter's rows of a micro-batch in the adapter's own way.

For plain LoRA, y = x W' + b + s (x A') B', the frozen product of all rows is taken at once, and so
are the products of the updates, stacked, where the adapters have equally many rows:

    U[k] = X[k] A[k]'      Y[k] += s[k] U[k] B[k]'       k: an adapter

The matrices of all adapters lie in one tensor, of which each adapter's own are views. Where the
numbers of rows differ, the updates are added one after the other. Any other change, such as DoRA's
or IA3's, is the adapter's own module on its rows.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers.pytorch_utils import Conv1D

from lowcost_ft.models.lean_lora import plain_update

__all__ = ["Segments", "dispatching"]


class Segments:
    """Which rows of the current micro-batch belong to which model."""

    def __init__(self) -> None:
        self.found: Sequence[tuple[int, int, int]] = ()

    @contextmanager
    def set(self, segments: Sequence[tuple[int, int, int]]) -> Iterator[None]:
        """Holds the segments: number of the model, first row, row after the last; ascending."""
        self.found = segments
        try:
            yield
        finally:
            self.found = ()

    @property
    def rows(self) -> int:
        """Rows of the micro-batch."""
        return self.found[-1][2]


def dispatching(layers: Sequence[Sequence[nn.Module]], segments: Segments) -> dict[int, nn.Module]:
    """What stands in place of the modules in which models differ.

    Args:
        layers: The layers of each model.
        segments: Tells, while they run, whose rows are whose.

    Returns:
        By the address of the first model's module, what dispatches.
    """
    found: dict[int, nn.Module] = {}
    for same in zip(*layers, strict=True):
        for modules in _differing(same):
            found[id(modules[0])] = _dispatcher(modules, segments)
    return found


def _differing(modules: Sequence[nn.Module]) -> Iterator[Sequence[nn.Module]]:
    """The smallest modules in which models differ, for each place those of all models."""
    tuned = any(isinstance(m, BaseTunerLayer | ModulesToSaveWrapper) for m in modules)
    own = [[p.data_ptr() for p in m.parameters(recurse=False)] for m in modules]
    names = [[name for name, _ in m.named_children()] for m in modules]
    if tuned or any(one != own[0] for one in own) or any(one != names[0] for one in names):
        yield modules
        return
    for name in names[0]:
        yield from _differing([module.get_submodule(name) for module in modules])


def _dispatcher(modules: Sequence[nn.Module], segments: Segments) -> nn.Module:
    updates = [plain_update(module) for module in modules]
    plain = [
        update is not None or type(module) in (nn.Linear, Conv1D)
        for module, update in zip(modules, updates, strict=True)
    ]
    if all(plain) and any(update is not None for update in updates):
        return _StackedLora(modules, updates, segments)
    return _BySegment(modules, segments)


class _Dispatch(nn.Module):
    """Something in place of a module, which still shows the module's own attributes."""

    def __init__(self, modules: Sequence[nn.Module], segments: Segments) -> None:
        super().__init__()
        # In a tuple, so that they do not count as parts of this one.
        self.modules_and_segments = (tuple(modules), segments)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.modules_and_segments[0][0], name)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Dispatch":
        return self


class _BySegment(_Dispatch):
    """Each model's own module on its rows."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        modules, segments = self.modules_and_segments
        each = x.shape[0] // segments.rows  # 1, or the tokens of a row where x is flat.
        return torch.cat(
            [
                modules[number](x[first * each : last * each], *args, **kwargs)
                for number, first, last in segments.found
            ]
        )


class _StackedLora(_Dispatch):
    """The frozen product of all rows, and the stacked updates of the models that have one."""

    def __init__(
        self,
        modules: Sequence[nn.Module],
        updates: Sequence[tuple[Any, torch.Tensor, torch.Tensor, float] | None],
        segments: Segments,
    ) -> None:
        super().__init__(modules, segments)
        present = [update for update in updates if update is not None]
        self.base_and_scales = (present[0][0], torch.tensor([update[3] for update in present]))
        places = iter(range(len(present)))
        self.places = [None if update is None else next(places) for update in updates]
        ranks = [update[1].shape[0] for update in present]
        device, dtype = present[0][1].device, present[0][1].dtype
        with torch.no_grad():
            a = torch.zeros(
                len(present), max(ranks), present[0][1].shape[1], device=device, dtype=dtype
            )
            b = torch.zeros(
                len(present), present[0][2].shape[0], max(ranks), device=device, dtype=dtype
            )
            for place, (_, own_a, own_b, _) in enumerate(present):
                a[place, : ranks[place]] = own_a
                b[place, :, : ranks[place]] = own_b
            # The adapters' own matrices become views, so that each is held once.
            for place, (_, own_a, own_b, _) in enumerate(present):
                own_a.data = a[place, : ranks[place]]
                own_b.data = b[place, :, : ranks[place]]
        self.stacked = (a, b, self.base_and_scales[1].to(device=device, dtype=dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        segments = self.modules_and_segments[1]
        base: Any = self.base_and_scales[0]
        weight = base.weight.t() if isinstance(base, nn.Linear) else base.weight  # (in, out)
        flat = x.reshape(-1, x.shape[-1])
        y = flat @ weight if base.bias is None else torch.addmm(base.bias, flat, weight)
        each = flat.shape[0] // segments.rows
        a, b, scales = self.stacked
        places = [self.places[number] for number, _, _ in segments.found]
        sizes = {last - first for _, first, last in segments.found}
        known = [place for place in places if place is not None]
        if len(sizes) == 1 and len(known) == len(places) == known[-1] - known[0] + 1:
            own = slice(known[0], known[-1] + 1)
            parts = flat.view(len(known), -1, flat.shape[-1])
            u = torch.bmm(parts, a[own].transpose(1, 2)).mul_(scales[own, None, None])
            y.view(len(known), -1, y.shape[-1]).baddbmm_(u, b[own].transpose(1, 2))
        else:
            for place, (_, first, last) in zip(places, segments.found, strict=True):
                if place is not None:
                    rows = slice(first * each, last * each)
                    u = flat[rows] @ a[place].t()
                    y[rows].addmm_(u, b[place].t(), alpha=float(self.base_and_scales[1][place]))
        return y.view(*x.shape[:-1], y.shape[-1])
