"""Fewer attention heads in each layer, in families that keep a head's size apart from the width.

Elsewhere the size of a head is the width of the model divided by the number of heads, so that a
model with fewer would not load plainly. Heads that share keys and values go together. What matters
least by measuring goes: a head matters as much as it adds to the output of attention, on average
over real texts. Every layer keeps the same number.

Source: Michel et al. (2019), arXiv 1905.10650.
"""

from collections.abc import Callable
from typing import Any

import torch

from lowcost_ft.compress.layers import column_importance, cut_linear
from lowcost_ft.errors import UserError
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.families import FAMILIES
from lowcost_ft.models.family import Family

__all__ = ["check_heads", "cut_heads"]


def check_heads(model: Any, family: Family, share: float) -> int:
    """How many of the units that go together stay: groups of heads, or heads of the only group.

    Args:
        model: A model of transformers.
        family: Its entry in the table.
        share: What the user wants to stay.

    Returns:
        The nearest number to the share for which the width is a multiple of the number of heads,
        as configurations demand.

    Raises:
        UserError: The family has no head size of its own, or nothing would go.
    """
    if not family.attention:
        names = ", ".join(one.name for one in FAMILIES if one.attention)
        raise UserError(
            f"--heads: in {family.name} a head is as large as the width divided by the number of "
            f"heads, so that a model with fewer would not load; heads are cut in {names}"
        )
    units, each = _units(model.config)
    width = model.config.hidden_size
    fitting = [one for one in range(1, units + 1) if width % (one * each) == 0]
    count = min(fitting, key=lambda one: (abs(one - share * units), -one))
    if count == units:
        what = f"{units} groups of {each} heads" if each > 1 else f"{units} heads"
        fewer = ", ".join(str(one) for one in fitting[:-1]) or "none"
        raise UserError(
            f"--heads {share:g}: of {what} that number leaves all; what can stay is {fewer} "
            f"(of {units}): give a smaller share, or leave the flag out"
        )
    return count


def cut_heads(model: Any, family: Family, count: int, run: Callable[[], object]) -> int:
    """Leaves some heads of every layer, the most important ones, in place.

    Args:
        model: A model of transformers.
        family: Its entry in the table.
        count: As `check_heads` gives it.
        run: Runs the model on some texts.

    Returns:
        How many heads stay in each layer.
    """
    config = model.config
    units, each = _units(config)
    only_one_group = config.num_key_value_heads == 1
    query, key, value, out = family.attention
    layers = list(layer_list(model, family))
    importance = column_importance([layer.get_submodule(out) for layer in layers], run)
    for layer, weights in zip(layers, importance, strict=True):
        kept = weights.reshape(units, -1).sum(1).topk(count).indices.sort().values
        size = len(weights) // units  # Columns of a unit.
        columns = (kept[:, None] * size + torch.arange(size)).flatten()
        cut_linear(layer.get_submodule(query), columns, axis=0)
        cut_linear(layer.get_submodule(out), columns, axis=1)
        if not only_one_group:
            rows = (kept[:, None] * (size // each) + torch.arange(size // each)).flatten()
            for path in (key, value):
                cut_linear(layer.get_submodule(path), rows, axis=0)
        attention: Any = layer.get_submodule(query.rpartition(".")[0])
        attention.num_key_value_groups = count if only_one_group else each
    config.head_dim = size // each
    config.num_attention_heads = count * each
    if not only_one_group:
        config.num_key_value_heads = count
    return count * each


def _units(config: Any) -> tuple[int, int]:
    """How many units of heads there are that can go, and how many heads each of them has."""
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    return (heads, 1) if groups == 1 else (groups, heads // groups)
