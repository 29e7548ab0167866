"""Fewer layers and fewer neurons in each: what matters least by measuring goes.

A layer matters as far as the logits move when the input skips it; a neuron of the feed-forward as
much as it adds to the layer's output, on average over real texts. Every layer keeps the same number
of neurons, so that the model is faster and reloads plainly.

Sources: Sajjad et al. (2023), arXiv 2004.03844 (dropping layers); Michel et al. (2019), arXiv
1905.10650, and Ma et al. (2023), arXiv 2305.11627 (structured pruning by measured importance).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from lowcost_ft.errors import UserError
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.families import find_family, known_families
from lowcost_ft.models.family import Family

__all__ = ["check_prunable", "choose_layers", "column_importance", "cut_linear", "cut_neurons"]
__all__ += ["dropping_order", "keep_layers", "neuron_importance", "neurons_left"]

_WIDTHS = ("intermediate_size", "hidden_dim", "n_inner")
"""Fields of a configuration that hold the number of neurons of the feed-forward."""
_MULTIPLE = 8
"""Matrix products are fastest at multiples of this."""


def check_prunable(model: Any, flag: str) -> Family:
    """The family of a model whose layers can be chosen.

    Args:
        model: A model of transformers.
        flag: What asks for it, for the message.

    Raises:
        UserError: Its family is unknown, or one set of weights serves all of its layers.
    """
    family = find_family(model.config)
    if family is None:
        raise UserError(
            f"{flag}: the model is of type {model.config.model_type!r}, and layers are cut in "
            f"these families alone: {known_families()}"
        )
    if family.shared_layers:
        raise UserError(
            f"{flag}: {family.name} has one set of weights for all layers; leave the flag out"
        )
    return family


def keep_layers(model: Any, family: Family, kept: Sequence[int]) -> Callable[[], None]:
    """Leaves only some layers, in place.

    Args:
        model: A model of transformers.
        family: Its entry in the table.
        kept: Numbers of the layers that stay, ascending.

    Returns:
        What puts the model back as it was.
    """
    path, _, name = family.layers.rpartition(".")
    parent = model.base_model.get_submodule(path) if path else model.base_model
    whole, config = getattr(parent, name), model.config
    count, types = config.num_hidden_layers, getattr(config, "layer_types", None)

    def set_to(layers: Any, number: int, kinds: Any) -> None:
        setattr(parent, name, layers)
        config.num_hidden_layers = number
        if types is not None:
            config.layer_types = kinds

    some = None if types is None else [types[index] for index in kept]
    set_to(nn.ModuleList([whole[index] for index in kept]), len(kept), some)
    return lambda: set_to(whole, count, types)


def choose_layers(
    model: Any, family: Family, count: int, outputs: Callable[[], torch.Tensor]
) -> list[int]:
    """Numbers of the layers to keep, ascending; see `dropping_order`."""
    gone = set(dropping_order(model, family, count, outputs))
    return [index for index in range(len(layer_list(model, family))) if index not in gone]


def dropping_order(
    model: Any, family: Family, count: int, outputs: Callable[[], torch.Tensor]
) -> list[int]:
    """The layers to drop: again and again the one that moves the logits least.

    The first stays in any case, since in some families it is built otherwise than the rest.

    Args:
        model: A model of transformers; it is left as it was.
        family: Its entry in the table.
        count: How many layers stay.
        outputs: Computes the logits of some texts.

    Returns:
        Numbers of the layers in the order in which they go.
    """
    kept = list(range(len(layer_list(model, family))))
    whole, gone = outputs(), list[int]()

    def moved(without: int) -> float:
        put_back = keep_layers(model, family, [index for index in kept if index != without])
        try:
            return float((outputs() - whole).square().mean())
        finally:
            put_back()

    while len(kept) > count:
        gone.append(min(kept[1:], key=moved))
        kept.remove(gone[-1])
    return gone


def neuron_importance(model: Any, family: Family, run: Callable[[], object]) -> list[torch.Tensor]:
    """How much each neuron of the feed-forward adds to the output, `(neurons,)` for each layer.

    Args:
        model: A model of transformers.
        family: Its entry in the table.
        run: Runs the model on some texts.

    Returns:
        The mean size of a neuron's activation, times the length of its outgoing weights.
    """
    return column_importance([_output(layer, family) for layer in layer_list(model, family)], run)


def column_importance(modules: Sequence[Any], run: Callable[[], object]) -> list[torch.Tensor]:
    """How much each input of linear layers adds to their outputs, `(inputs,)` for each layer.

    Args:
        modules: The linear layers.
        run: Runs their model on some texts.

    Returns:
        The mean size of an input, times the length of its weights.
    """
    sums: list[torch.Tensor] = []
    hooks = []
    for number, out in enumerate(modules):
        sums.append(torch.zeros(_matrix(out).shape[1]))

        def note(_: Any, inputs: tuple[torch.Tensor, ...], number: int = number) -> None:
            sums[number] += inputs[0].detach().abs().flatten(0, -2).sum(0)

        hooks.append(out.register_forward_pre_hook(note))
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    lengths = [_matrix(one).norm(dim=0) for one in modules]
    return [total * length for total, length in zip(sums, lengths, strict=True)]


def cut_neurons(
    model: Any, family: Family, share: float, importance: Sequence[torch.Tensor]
) -> int:
    """Leaves a share of the neurons of every feed-forward, the most important ones, in place.

    Args:
        model: A model of transformers.
        family: Its entry in the table.
        share: What stays, above 0 and at most 1.
        importance: As `neuron_importance` gives it.

    Returns:
        How many neurons stay in each layer.
    """
    width = len(importance[0])
    count = _rounded(share, width)
    for layer, weights in zip(layer_list(model, family), importance, strict=True):
        kept = weights.topk(count).indices.sort().values
        out = _output(layer, family)
        for module in _inputs(layer, family, out, width):
            rows = _matrix(module).shape[0]
            # Gate and value may be one matrix, one half each.
            places = torch.cat([kept + start for start in range(0, rows, width)])
            cut_linear(module, places, axis=0)
        cut_linear(out, kept, axis=1)
    for name in _WIDTHS:
        if hasattr(model.config, name):
            setattr(model.config, name, count)
    return count


def neurons_left(model: Any, family: Family, share: float) -> int:
    """How many neurons of each feed-forward a share leaves.

    Raises:
        UserError: It leaves all of them.
    """
    width = _matrix(_output(layer_list(model, family)[0], family)).shape[1]
    count = _rounded(share, width)
    if count == width:
        raise UserError(
            f"--ffn {share:g}: of {width:,} neurons that leaves all, since their number is a "
            f"multiple of {_MULTIPLE}: give a smaller share, or leave the flag out"
        )
    return count


def _rounded(share: float, width: int) -> int:
    return min(width, max(_MULTIPLE, round(share * width / _MULTIPLE) * _MULTIPLE))


def _output(layer: Any, family: Family) -> Any:
    """The linear layer that ends the feed-forward."""
    return layer.get_submodule(family.ia3_targets[-1])


def _inputs(layer: Any, family: Family, out: Any, width: int) -> list[Any]:
    """The linear layers that make the neurons; of gate and value, both or the one for both."""
    found = []
    for path in family.lora_targets:
        try:
            module = layer.get_submodule(path)
        except AttributeError:
            continue
        in_attention = path.startswith(("attn", "attention", "self_attn"))
        if module is not out and not in_attention and _matrix(module).shape[0] % width == 0:
            found.append(module)
    return found


def _is_transposed(module: Any) -> bool:
    """Whether the weight is `(in, out)`, as in GPT-2."""
    return type(module).__name__ == "Conv1D"


def _matrix(module: Any) -> torch.Tensor:
    """The weight as `(out, in)`."""
    weight: torch.Tensor = module.weight.detach()
    return weight.T if _is_transposed(module) else weight


def cut_linear(module: Any, places: torch.Tensor, *, axis: int) -> None:
    """Leaves some rows (`axis` 0) or columns (1) of a linear layer's `(out, in)` weight."""
    matrix = _matrix(module).index_select(axis, places).contiguous()
    weight = matrix.T.contiguous() if _is_transposed(module) else matrix
    module.weight = nn.Parameter(weight, requires_grad=module.weight.requires_grad)
    if axis == 0 and module.bias is not None:
        module.bias = nn.Parameter(module.bias.detach()[places], requires_grad=False)
    names = ("nf", "nx") if _is_transposed(module) else ("out_features", "in_features")
    setattr(module, names[axis], len(places))
