"""The most probable token at each step, or a drawn one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lowcost_ft.config.generation import GenerationSettings
from lowcost_ft.models.generation.constraints import draw, drawing
from lowcost_ft.models.generation.decoding import Decoding
from lowcost_ft.models.generation.near_ties import near_ties

__all__ = ["Chooser", "write_greedily"]


class Chooser:
    """Chooses the next token of each row: the most probable one, or a drawn one."""

    def __init__(
        self, processors: Any, settings: GenerationSettings, numbers: Sequence[int]
    ) -> None:
        """
        Args:
            processors: What constrains the logits.
            settings: How to write.
            numbers: The number of each row, which its draws depend on.
        """
        self._processors = processors
        self._warpers: Any = drawing(settings) if settings.temperature > 0 else None
        self._chances: list[np.ndarray] = []
        if self._warpers is not None:
            # All draws of a row at once, from its own generator: neighbours cannot change them.
            self._chances = [
                np.random.default_rng([settings.seed, number]).random(settings.max_new_tokens)
                for number in numbers
            ]

    def choose(
        self, decoding: Decoding, rows: Sequence[int], step: int
    ) -> tuple[torch.Tensor, list[bool]]:
        """The next token of each row, and whether the second best is nearly as good.

        Args:
            decoding: The batch as it is.
            rows: Which of all rows are left in it.
            step: How many tokens have been written.
        """
        logits = self._processors(decoding.sequences, decoding.logits)
        if self._warpers is None:
            best, second = logits.topk(2).values.unbind(1)
            return logits.argmax(-1), near_ties(best, second).tolist()
        logits = self._warpers(decoding.sequences, logits)
        chances = [float(self._chances[row][step]) for row in rows]
        return draw(logits, chances), [False] * len(rows)


def write_greedily(
    decoding: Decoding, processors: Any, settings: GenerationSettings, numbers: Sequence[int]
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
    chooser = Chooser(processors, settings, numbers)
    rows = list(range(len(numbers)))
    for step in range(settings.max_new_tokens):
        tokens, near = chooser.choose(decoding, rows, step)
        kept = []
        for place, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
            tied[row] = tied[row] or near[place]
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
