"""The most probable token at each step, or a drawn one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lowcost_ft.config.generation import GenerationSettings
from lowcost_ft.models.generation.constraints import draw, drawing
from lowcost_ft.models.generation.decoding import Decoding
from lowcost_ft.models.generation.near_ties import near_ties

__all__ = ["write_greedily"]


def write_greedily(
    decoding: Decoding,
    processors: Any,
    settings: GenerationSettings,
    numbers: Sequence[int],
) -> tuple[list[list[int]], list[bool]]:
    """Texts of a batch, one token a step; a row that has ended leaves the batch.

    Args:
        decoding: The batch, whose prompts have been read.
        processors: What constrains the logits.
        settings: How to write.
        numbers: The number of each row, which its draws depend on.

    Returns:
        New tokens of each row without the one that ends it, and whether somewhere in it the two
        best logits were nearly equal.
    """
    texts: list[list[int]] = [[] for _ in numbers]
    tied = [False] * len(numbers)
    ends = set(settings.end_token_ids)
    warpers: Any = drawing(settings) if settings.temperature > 0 else None
    # All draws of a row at once, from its own generator: neighbours and order cannot change them.
    chances = None
    if warpers is not None:
        chances = [
            np.random.default_rng([settings.seed, number]).random(settings.max_new_tokens)
            for number in numbers
        ]
    rows = list(range(len(numbers)))
    for step in range(settings.max_new_tokens):
        logits = processors(decoding.sequences, decoding.logits)
        if warpers is not None and chances is not None:
            logits = warpers(decoding.sequences, logits)
            tokens = draw(logits, [float(chances[row][step]) for row in rows])
        else:
            tokens = logits.argmax(-1)
            for row, is_near in zip(rows, near_ties(logits.topk(2).values, 0), strict=True):
                tied[row] = tied[row] or is_near
        kept = []
        for place, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
            if token not in ends:
                texts[row].append(token)
                kept.append(place)
        if not kept or step + 1 == settings.max_new_tokens:
            break
        rows = [rows[place] for place in kept]
        left = torch.tensor(kept, device=tokens.device)
        decoding.select(left)
        decoding.append(tokens[left])
    return texts, tied
