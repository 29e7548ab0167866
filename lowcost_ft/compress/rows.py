"""A table of embeddings with fewer rows."""

from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["cut_rows"]

_IDS = ("pad", "bos", "eos", "cls", "sep", "mask", "unk", "decoder_start")
"""Fields of a configuration, `..._token_id`, that hold the id of a token."""


def cut_rows(model: Any, keep: Sequence[int]) -> None:
    """Leaves only some rows of the table of embeddings, and renumbers what names them, in place.

    Args:
        model: A model of transformers.
        keep: The old numbers of the rows that stay, in their new order.
    """
    table = model.get_input_embeddings()
    numbers = {number: place for place, number in enumerate(keep)}
    rows = table.weight.detach()[torch.tensor(list(keep))].clone()
    # In place: some families scale what they look up, in a class of their own.
    table.weight = torch.nn.Parameter(rows, requires_grad=False)
    table.num_embeddings = len(keep)
    if table.padding_idx is not None:
        table.padding_idx = numbers[table.padding_idx]
    model.config.vocab_size = len(keep)
    for name in _IDS:
        value = getattr(model.config, f"{name}_token_id", None)
        if isinstance(value, int):
            setattr(model.config, f"{name}_token_id", numbers.get(value))
        elif isinstance(value, list):
            setattr(
                model.config, f"{name}_token_id", [numbers[one] for one in value if one in numbers]
            )
