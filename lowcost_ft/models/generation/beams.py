"""Beam search: several texts of a row are followed at once, and the best finished one is taken."""

from typing import Any

import torch

from lowcost_ft.config.generation import GenerationSettings
from lowcost_ft.models.generation.decoding import Decoding
from lowcost_ft.models.generation.near_ties import NEAR

__all__ = ["write_by_beams"]

_NEVER = -1e9
"""A score that no text has."""


def write_by_beams(
    decoding: Decoding, processors: Any, settings: GenerationSettings
) -> tuple[list[list[int]], list[bool]]:
    """Texts of a batch by beam search, which stops for a row as soon as it cannot get better.

    The rules are those of `generate` in transformers 5 without early stopping, for each row by
    itself: finished texts are ranked by their log probability, divided by their length to the power
    of the length penalty; a row ends when its best running text, at its present length, scores
    below the worst of as many finished ones as there are beams.

    Args:
        decoding: The batch, whose prompts have been read; each row once.
        processors: What constrains the log probabilities.
        settings: How to write.

    Returns:
        As `greedy.write_greedily`; a row counts as nearly tied, too, if that is so of candidates
        for its beams, or of its two best finished texts.
    """
    count, device = len(decoding.sequences), decoding.sequences.device
    beams = settings.num_beams
    ends = torch.tensor(settings.end_token_ids, device=device)
    wanted = max(2, 1 + len(ends)) * beams
    texts: list[list[int]] = [[] for _ in range(count)]
    tied = [False] * count
    decoding.select(torch.arange(count, device=device).repeat_interleave(beams))
    rows = torch.arange(count, device=device)
    # (rows, beams, tokens); 0 where nothing is written yet.
    running = torch.zeros((count, beams, settings.max_new_tokens), dtype=torch.long, device=device)
    done = running.clone()
    lengths = torch.zeros((count, beams), dtype=torch.long, device=device)
    running_scores = torch.full((count, beams), _NEVER, device=device)
    running_scores[:, 0] = 0.0  # All beams of a row begin alike: one of them is enough.
    done_scores = torch.full((count, beams), _NEVER, device=device)
    is_done = torch.zeros((count, beams), dtype=torch.bool, device=device)
    for step in range(settings.max_new_tokens):
        logs = processors(decoding.sequences, decoding.logits.log_softmax(-1))
        vocabulary = logs.shape[-1]
        logs = (logs.view(len(rows), beams, vocabulary) + running_scores.unsqueeze(-1)).flatten(1)
        best, chosen = logs.topk(wanted + 1)  # (rows, wanted + 1), the best first
        scores, chosen = best[:, :wanted], chosen[:, :wanted]
        origins, tokens = chosen // vocabulary, chosen % vocabulary
        candidates = running.gather(
            1, origins.unsqueeze(-1).expand(-1, -1, settings.max_new_tokens)
        )
        candidates[:, :, step] = tokens
        ended = torch.isin(tokens, ends)
        stops = ended | (step + 1 == settings.max_new_tokens)

        # Texts that go on.
        running_scores, order = (scores + stops * _NEVER).topk(beams)
        running = candidates.gather(1, order.unsqueeze(-1).expand(-1, -1, settings.max_new_tokens))
        goes_on = origins.gather(1, order)
        # Texts that have ended: only those among the best may be taken.
        finished = stops.clone()
        finished[:, beams:] = False
        ranked = scores / (step + 1) ** settings.length_penalty + ~finished * _NEVER
        done_scores, place = torch.cat([done_scores, ranked], 1).topk(beams)
        done = torch.cat([done, candidates], 1).gather(
            1, place.unsqueeze(-1).expand(-1, -1, settings.max_new_tokens)
        )
        new_lengths = torch.full_like(tokens, step + 1) - ended.long()
        lengths = torch.cat([lengths, new_lengths], 1).gather(1, place)
        is_done = torch.cat([is_done, finished], 1).gather(1, place)

        best_possible = running_scores[:, :1] / (step + 1) ** settings.length_penalty
        worst = torch.where(is_done, done_scores.min(1, keepdim=True).values, _NEVER)
        hopeful = (best_possible > worst).any(1) & ~stops.all(1)
        for index in (~hopeful).nonzero().flatten().tolist():
            row = int(rows[index])
            texts[row] = done[index, 0, : int(lengths[index, 0])].tolist()
            gap = float(done_scores[index, 0] - done_scores[index, 1])
            tied[row] = tied[row] or gap < NEAR
        if not hopeful.any():
            break
        kept = hopeful.nonzero().flatten()
        goes_on, running, running_scores = goes_on[kept], running[kept], running_scores[kept]
        done, done_scores, is_done = done[kept], done_scores[kept], is_done[kept]
        lengths, rows = lengths[kept], rows[kept]
        decoding.select((kept.unsqueeze(1) * beams + goes_on).flatten())
        decoding.append(running[:, :, step].flatten())
    return texts, tied


def _real(logs: torch.Tensor) -> torch.Tensor:
    """Scores without those of beams that do not exist yet."""
    return logs.masked_fill(logs < _NEVER / 2, -torch.inf)
