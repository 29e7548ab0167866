"""The longest text that a model has positions for, read off the modules of an unknown family."""

import re
from typing import Any

import torch

from lowcost_ft.models.families import find_family, longest_input
from lowcost_ft.models.hub import quiet_libraries
from lowcost_ft.tasks.heads import find_head, suited_head

__all__ = ["longest_text", "longest_text_of", "model_on_meta", "position_limit"]

_POSITIONS = re.compile(r"(^|_)(pos|positions?|wpe)(_|$)")
_RELATIVE = re.compile(r"rel(ative)?_|distance|bias")


def longest_text(config: Any, *, head: str, trust_remote_code: bool = False) -> int | None:
    """Tokens of the longest text that a model has positions for; None where none is known.

    Args:
        config: The model's configuration.
        head: Name of its head: which task model tells it, for a family not in the table.
        trust_remote_code: Whether the model's own Python code may run.
    """
    if find_family(config) is not None:
        return longest_input(config)
    model = model_on_meta(config, head=head, trust_remote_code=trust_remote_code)
    return None if model is None else position_limit(model)


def longest_text_of(model: Any) -> int | None:
    """The same as `longest_text`, of a model that is there.

    Args:
        model: A model of transformers, or an adapter of peft around one.
    """
    known = find_family(model.config) is not None
    return longest_input(model.config) if known else position_limit(model)


def model_on_meta(config: Any, *, head: str, trust_remote_code: bool = False) -> Any | None:
    """The task model of a configuration without weights; None where it cannot be built."""
    auto_class = find_head(suited_head(head, config)).model_class
    stored = config.__dict__.pop("quantization_config", None)
    try:
        with quiet_libraries(), torch.device("meta"):
            return auto_class.from_config(config, trust_remote_code=trust_remote_code)
    except Exception:  # What building it needs is told where it is built to be trained.
        return None
    finally:
        if stored is not None:
            config.quantization_config = stored


def position_limit(model: Any) -> int | None:
    """Tokens of the longest text for which a model has positions; None where none is known.

    Args:
        model: A model of transformers; it may lie on the meta device.
    """
    limits: list[int] = []
    for path, module in model.named_modules():
        name = path.rpartition(".")[2]
        if not _POSITIONS.search(name) or _RELATIVE.search(name):
            continue
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.Tensor) and weight.dim() == 2:
            limits.append(weight.shape[0] - _first(module))
    for module in model.modules():  # Tables that are not weights: CTRL, GPT-J.
        for name, table in (*vars(module).items(), *module.named_buffers(recurse=False)):
            named = _POSITIONS.search(name) and not _RELATIVE.search(name)
            if named and isinstance(table, torch.Tensor) and table.dim() == 2:
                limits += [table.shape[0]] if table.is_floating_point() else []
    if not limits:
        return None
    config = getattr(model.config, "get_text_config", lambda: model.config)()
    named = getattr(config, "max_position_embeddings", None)
    return min([*limits, *([int(named)] if named else [])])


def _first(module: Any) -> int:
    """Number of a text's first position."""
    if isinstance(offset := getattr(module, "offset", None), int):
        return offset
    padding = getattr(module, "padding_idx", None)
    sinusoidal = "Sinusoid" in type(module).__name__
    return 0 if padding is None or sinusoidal else int(padding) + 1
