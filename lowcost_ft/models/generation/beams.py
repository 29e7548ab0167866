"""Beam search: several texts of a row are followed at once, and the best finished one is taken."""

from typing import Any

import torch

from lowcost_ft.config.generation import GenerationSettings
from lowcost_ft.models.generation.decoding import Decoding
from lowcost_ft.models.generation.near_ties import NEAR, near_ties

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
        As `greedy.write_greedily`; a row counts as nearly tied if that is so of candidates for its
        beams or for its finished texts, of its two best finished texts, or of going on and ending.
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
        for index in _tied_candidates(best, chosen % vocabulary, ends, beams):
            tied[int(rows[index])] = True
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
        for index in ((best_possible - worst).abs() < NEAR).any(1).nonzero().flatten().tolist():
            tied[int(rows[index])] = True
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


def _tied_candidates(
    best: torch.Tensor, tokens: torch.Tensor, ends: torch.Tensor, beams: int
) -> list[int]:
    """Rows in which another candidate is nearly as good as one that goes on or that ends.

    Args:
        best: Scores of the best candidates, the best one first, `(rows, candidates)`; at least one
            more than there are beams does not end.
        tokens: The token of each.
        ends: Tokens that end a text.
        beams: How many candidates go on; as many of the best may end.
    """
    real = best.masked_fill(best < _NEVER / 2, -torch.inf)  # Not of beams that do not exist yet.
    ended = torch.isin(tokens, ends)
    going_on = real.masked_fill(ended, -torch.inf).topk(beams + 1).values
    tied = near_ties(going_on[:, -2], going_on[:, -1])
    ended_there = ended[:, beams - 1] | ended[:, beams]
    tied |= ended_there & near_ties(real[:, beams - 1], real[:, beams])
    found: list[int] = tied.nonzero().flatten().tolist()
    return found
