"""The most probable tags that are legal IOB2 together, of the pieces that a window shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["TagChoice", "TagOrder", "legal_tags", "recorded_choice"]

TagChoice = Literal["each", "legal"]
"""How tags are chosen: the most probable one of each piece, or the most probable legal ones of all
pieces that a window shows. run.json has it as `tag_choice`."""

_NEVER = -np.inf


class TagOrder:
    """Which tag may follow which: an `I-` only a `B-` or an `I-` of its type.

    Args:
        labels: IOB2 tags in the order of the logits.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        places = {label: place for place, label in enumerate(labels)}
        inside = [place for place, label in enumerate(labels) if label.startswith("I-")]
        self.inside = np.array(inside, np.int64)
        # The place of the B- of each I-; an I- without one only follows itself.
        self.begins = np.array(
            [places.get(f"B-{labels[place][2:]}", place) for place in inside], np.int64
        )
        self.allowed = np.ones((len(labels), len(labels)), bool)  # (before, after)
        self.allowed[:, self.inside] = False
        self.allowed[self.begins, self.inside] = True
        self.allowed[self.inside, self.inside] = True
        self.first = np.ones(len(labels), bool)
        self.first[self.inside] = False

    def is_legal(self, tags: NDArray[np.int64], starts: bool) -> bool:
        """Whether tags can follow each other.

        Args:
            tags: Places of tags, `(tokens,)`.
            starts: Whether the first of them is the first of its sentence.
        """
        if len(tags) and starts and not self.first[tags[0]]:
            return False
        return bool(self.allowed[tags[:-1], tags[1:]].all())

    def best(self, scores: NDArray[np.float64], starts: bool) -> NDArray[np.int64]:
        """The legal tags with the highest sum of scores (Viterbi 1967), `(tokens,)`.

        Args:
            scores: Logarithms of the probabilities of tags, `(tokens, tags)`.
            starts: Whether the first token is the first of its sentence.
        """
        total = np.where(self.first | (not starts), scores[0], _NEVER)
        steps = []
        own = np.arange(len(self.inside))
        pairs = np.stack([self.begins, self.inside])  # (2, inside)
        for of_token in scores[1:]:
            before = np.full(len(total), total.argmax())
            before[self.inside] = pairs[total[pairs].argmax(axis=0), own]
            steps.append(before)
            total = total[before] + of_token
        path = [int(total.argmax())]
        for before in reversed(steps):
            path.append(int(before[path[-1]]))
        return np.array(path[::-1], np.int64)


def recorded_choice(run: Mapping[str, Any]) -> TagChoice:
    """How a run chooses tags; runs that do not say are older than the choice of legal ones."""
    return "each" if run.get("tag_choice") in (None, "each") else "legal"


def legal_tags(
    decoded: dict[str, torch.Tensor],
    logits: torch.Tensor,
    batch: Mapping[str, torch.Tensor],
    order: TagOrder,
) -> dict[str, torch.Tensor]:
    """The same tags and probabilities, where they are legal; else the most probable legal ones.

    Args:
        decoded: `label` and `score` of the most probable tag of each token, `(batch, sequence)`.
        logits: `(batch, sequence, tags)`.
        batch: With `words` and `first_windows`.
        order: Of the tags.
    """
    import torch

    labels = decoded["label"].cpu().numpy().copy()
    scores = decoded["score"].cpu().numpy().copy()
    words, first = batch["words"].cpu().numpy(), batch["first_windows"].cpu().numpy()
    all_legal = True
    for row, begins in enumerate(first):
        read = np.flatnonzero(words[row] >= 0)
        # Between two that do not follow each other stand pieces without a token, which are O.
        gaps = np.flatnonzero(np.diff(words[row, read]) > 1) + 1
        for number, places in enumerate(np.split(read, gaps)):
            starts = bool(begins) or number > 0
            if order.is_legal(labels[row, places], starts):
                continue
            all_legal = False
            of_row = logits[row, torch.from_numpy(places).to(logits.device)]
            shares = of_row.double().log_softmax(-1).cpu().numpy()
            labels[row, places] = chosen = order.best(shares, starts)
            scores[row, places] = np.exp(shares[np.arange(len(places)), chosen])
    if all_legal:
        return decoded
    made = {"label": labels, "score": scores}
    return {name: torch.from_numpy(values).to(logits.device) for name, values in made.items()}
