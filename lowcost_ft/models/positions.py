"""The longest text that a model has positions for, read off the modules of an unknown family."""

import re
from dataclasses import dataclass
from typing import Any

import torch

from lowcost_ft.models.families import find_family, longest_input
from lowcost_ft.models.hub import quiet_libraries
from lowcost_ft.tasks.heads import find_head, suited_head

__all__ = ["TextLimits", "model_on_meta", "position_limit", "text_limits", "text_limits_of"]

_POSITIONS = re.compile(r"(^|_)(pos|positions?|wpe)(_|$)")
_RELATIVE = re.compile(r"rel(ative)?_|distance|bias")


@dataclass(frozen=True, slots=True)
class TextLimits:
    """Tokens of the longest texts that a model has positions for; None where none is known.

    Attributes:
        read: Of texts to read.
        written: Of texts to write, which an encoder-decoder's decoder has positions of its own for.
    """

    read: int | None
    written: int | None


def text_limits(config: Any, *, head: str, trust_remote_code: bool = False) -> TextLimits:
    """The longest texts that a model of a configuration has positions for.

    Args:
        config: The model's configuration.
        head: Name of its head: which task model tells it, for a family not in the table.
        trust_remote_code: Whether the model's own Python code may run.
    """
    if find_family(config) is not None:
        return TextLimits(longest_input(config), longest_input(config))
    model = model_on_meta(config, head=head, trust_remote_code=trust_remote_code)
    return TextLimits(None, None) if model is None else text_limits_of(model)


def text_limits_of(model: Any) -> TextLimits:
    """The same as `text_limits`, of a model that is there.

    Args:
        model: A model of transformers, or an adapter of peft around one.
    """
    config = model.config
    if find_family(config) is not None:
        return TextLimits(longest_input(config), longest_input(config))
    parts = [model, model]
    if getattr(config, "is_encoder_decoder", False) and hasattr(model, "get_encoder"):
        parts = [model.get_encoder(), model.get_decoder()]
    return TextLimits(*(position_limit(part, config) for part in parts))


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


def position_limit(model: Any, config: Any = None) -> int | None:
    """Tokens of the longest text for which a model has positions; None where none is known.

    Args:
        model: A model of transformers, or its encoder or decoder; it may lie on the meta device.
        config: Its configuration; None: it has one itself.
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
    config = model.config if config is None else config
    config = getattr(config, "get_text_config", lambda: config)()
    named = getattr(config, "max_position_embeddings", None)
    return min([*limits, *([int(named)] if named else [])])


def _first(module: Any) -> int:
    """Number of a text's first position."""
    if isinstance(offset := getattr(module, "offset", None), int):
        return offset
    padding = getattr(module, "padding_idx", None)
    sinusoidal = "Sinusoid" in type(module).__name__
    return 0 if padding is None or sinusoidal else int(padding) + 1
