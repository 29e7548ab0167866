"""A model without its upper layers: what a student of the teacher's own layers starts from."""

from typing import Any

from torch import nn

from lowcost_ft.errors import UserError
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.families import find_family

__all__ = ["keep_lower_layers", "layers_problem"]


def keep_lower_layers(model: Any, layers: int | None, *, field: str = "layers") -> int:
    """Takes the upper layers out of a task model, in place; its head stays.

    Args:
        model: A task model of transformers, without an adapter.
        layers: How many of the lower layers stay; None: half of them.
        field: The setting that this is, for messages.

    Returns:
        How many stayed.

    Raises:
        UserError: The model has no more layers than that, or they are not known.
    """
    family = find_family(model.config)
    if family is None:
        raise UserError(
            f"{field}: the layers of model type {model.config.model_type!r} are not known"
        )
    config = model.config.get_text_config()
    whole = int(config.num_hidden_layers)
    kept = layers or max(1, whole // 2)
    if kept >= whole:
        raise UserError(layers_problem(kept, whole, field=field))
    config.num_hidden_layers = kept
    # Some architectures name the kind of each layer.
    if getattr(config, "layer_types", None):
        config.layer_types = list(config.layer_types)[:kept]
    if not family.shared_layers:  # One layer that is passed several times is passed less often.
        path = family.layers
        parent, _, name = path.rpartition(".")
        own = nn.ModuleList(list(layer_list(model, family))[:kept])
        setattr(model.base_model.get_submodule(parent), name, own)
    return kept


def layers_problem(kept: int, whole: int, *, field: str) -> str:
    """The message for a number of layers that would leave nothing out of a model."""
    return (
        f"{field}: {kept} layers of a model that has {whole} leave nothing out; give at most "
        f"{whole - 1}"
    )
