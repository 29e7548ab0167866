"""Mixup: the hidden states of two texts are mixed, and their labels in the same shares.

The states are those that the output layer reads (senMixup of Guo et al. 2019, arXiv:1905.08941;
mixup is Zhang et al. 2018, arXiv:1710.09412). Since that layer is linear, its outputs are mixed
instead, which is the same. Of a pair both mixtures are learned, with the shares s and 1 - s and the
other way round, so that each text counts as much as without; s is drawn from Beta(a, a). Of an odd
number of texts, one is its own partner in each epoch and counts twice.

The plan of the epoch pairs the texts, and a micro-batch holds whole pairs, so that a step can be
cut between them. The texts themselves stay as they are: their states may come from the cache.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from lowcost_ft.training.extensions.base import Extension, TrainingContext

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from lowcost_ft.config.run import RunConfig
    from lowcost_ft.data.features import Features
    from lowcost_ft.tasks.base import Task
    from lowcost_ft.tasks.choices import Choices
    from lowcost_ft.training.extensions.base import Batch

__all__ = ["Mixup", "deal_pairs"]

_SHARES = "mixup.shares"


class Mixup(Extension):
    """Pairs of texts, and the loss of their mixtures."""

    name = "mixup"
    setting = "mixup"
    needs_choices = True
    needs_whole_text_labels = True
    regroups = True

    def __init__(self, task: "Task", alpha: float, seed: int) -> None:
        self._task = task
        self._alpha = alpha
        self._seed = seed
        self._pairs = 0
        self._arrays: tuple[str, ...] = ()

    @classmethod
    def problems(cls, config: "RunConfig") -> list[str]:
        """What has another loss or other rows."""
        if not cls.asked_for(config):
            return []
        names = ("label_smoothing", "focal_gamma", "consistency", "adversarial", "contrastive")
        others = [
            f"--{name.replace('_', '-')}"
            for name in (*names, "teacher")
            if getattr(config, name) is not None
        ]
        if not others:
            return []
        return [
            f"{', '.join(others)}: for the loss of single texts, and --mixup has one of pairs; "
            "leave one of them out"
        ]

    @classmethod
    def of(cls, context: TrainingContext) -> "Mixup":
        """The extension of a run."""
        assert context.settings.mixup is not None
        return cls(context.task, context.settings.mixup, context.settings.seed)

    def epoch(self, features: "Features", number: int) -> "Features":
        """The pairs of an epoch."""
        from dataclasses import replace

        from lowcost_ft.data.features import Array
        from lowcost_ft.data.groups import grouped_features

        random = np.random.default_rng([self._seed, number, 2])
        pairs = deal_pairs(len(features.lengths), random)
        shares = random.beta(self._alpha, self._alpha, len(pairs)).astype(np.float32)
        self._pairs = len(pairs)
        self._arrays = tuple(features.arrays)
        own = {name: a[pairs] for name, a in features.arrays.items()}
        grouped = grouped_features(features, pairs, **own, **{_SHARES: shares})
        return replace(
            grouped,
            weights=features.weights[pairs].sum(1),
            schema={**features.schema, _SHARES: Array("row")},
        )

    def loss(
        self,
        outputs: "torch.Tensor",
        batch: "Batch",
        *,
        inner: "Callable[[torch.Tensor, Batch], torch.Tensor]",
        forward: "Callable[[Batch], torch.Tensor]",
    ) -> "torch.Tensor":
        """The sum of the losses of both mixtures of each pair, `()`."""
        import torch

        shares = batch[_SHARES]
        # Arrays of rows have an entry for each text of a pair, as the outputs have.
        lines = batch | {name: batch[name].flatten(0, 1) for name in self._arrays}
        choices = self._task.choices(outputs, lines)
        assert choices is not None
        own = shares.repeat_interleave(2)[:, None]  # (texts, 1)
        partner = torch.arange(len(own), device=own.device) ^ 1  # 1, 0, 3, 2, ...
        mixed = own * choices.logits + (1 - own) * choices.logits[partner]
        first = _losses(choices, mixed, choices.labels)
        second = _losses(choices, mixed, choices.labels[partner])
        return (own[:, 0] * first + (1 - own[:, 0]) * second).sum()

    def record(self, epochs: int) -> dict[str, Any]:
        """The parameter of the shares, and the pairs of an epoch."""
        return {"alpha": self._alpha, "pairs": self._pairs}


def deal_pairs(texts: int, random: np.random.Generator) -> np.ndarray:
    """Deals texts into pairs; of an odd number, the last one is its own partner.

    Args:
        texts: How many there are.
        random: Decides the order.

    Returns:
        Numbers of texts, `(pairs, 2)`.
    """
    order = random.permutation(texts)
    return np.append(order, order[-1:] if texts % 2 else order[:0]).reshape(-1, 2)


def _losses(choices: "Choices", logits: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    """The loss of each choice, `(choices,)`, as `Choices.cross_entropy` sums it."""
    from torch.nn import functional as F  # noqa: N812

    if choices.yes_or_no:
        return F.binary_cross_entropy_with_logits(
            logits, labels, pos_weight=choices.weights, reduction="none"
        ).mean(-1)
    return F.cross_entropy(logits, labels, weight=choices.weights, reduction="none")
