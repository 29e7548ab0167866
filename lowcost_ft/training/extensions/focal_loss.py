"""Focal loss: what a model finds easy counts less, so that rare and hard classes count more.

Each choice has the loss -w (1 - p)^gamma log p, where p is the probability of its right class and w
that class's weight (Lin et al. 2017, arXiv:1708.02002). Where each class is a yes or no, that is
the loss of each, and the mean over the classes is taken. With gamma 0 it is the cross-entropy.
"""

from typing import TYPE_CHECKING

from lowcost_ft.training.extensions.choice_loss import ChoiceLoss

if TYPE_CHECKING:
    import torch

    from lowcost_ft.tasks.choices import Choices

__all__ = ["FocalLoss", "focal_loss"]

_SMALLEST = 1e-6
"""Least value of 1 - p whose power is taken: at 0 a power below 1 has no gradient."""


class FocalLoss(ChoiceLoss):
    """Takes the focal loss in place of the task's own."""

    name = "focal_loss"
    setting = "focal_gamma"

    def of_choices(self, choices: "Choices") -> "torch.Tensor":
        """The focal loss, `()`."""
        return focal_loss(choices, self._amount)


def focal_loss(choices: "Choices", gamma: float) -> "torch.Tensor":
    """Sum of the focal losses of some choices, `()`."""
    from torch.nn import functional as F  # noqa: N812

    if choices.yes_or_no:
        signs = 2 * choices.labels - 1
        own = F.logsigmoid(signs * choices.logits)  # log p of the right answer
        losses = -own * (-own.expm1()).clamp_min(_SMALLEST) ** gamma
        if choices.weights is not None:
            losses = losses * (1 + choices.labels * (choices.weights - 1))
        return losses.mean(-1).sum()
    right = choices.labels.clamp(min=0)[:, None]
    own = choices.logits.log_softmax(-1).gather(-1, right).squeeze(-1)  # (choices,)
    losses = -own * (-own.expm1()).clamp_min(_SMALLEST) ** gamma
    shares = choices.shares()
    assert shares is not None
    return (losses * shares).sum()
