"""Label smoothing: targets that leave a share of the probability to all classes alike.

With share s and K classes, the target of the right class is 1 - s + s / K and that of each other
one s / K (Szegedy et al. 2016, arXiv:1512.00567), as in PyTorch's `cross_entropy`, class weights
included. A yes or no of its own becomes 1 - s / 2 or s / 2.
"""

from typing import TYPE_CHECKING

from lowcost_ft.training.extensions.choice_loss import ChoiceLoss

if TYPE_CHECKING:
    import torch

    from lowcost_ft.config.run import RunConfig
    from lowcost_ft.tasks.choices import Choices

__all__ = ["LabelSmoothing"]


class LabelSmoothing(ChoiceLoss):
    """Takes the loss of smoothed targets in place of the task's own."""

    name = "label_smoothing"
    setting = "label_smoothing"

    @classmethod
    def problems(cls, config: "RunConfig") -> list[str]:
        """It changes the same loss as the focal weights."""
        if cls.asked_for(config) and config.focal_gamma is not None:
            return ["--label-smoothing and --focal-gamma both change the loss: give one of them"]
        return []

    def of_choices(self, choices: "Choices") -> "torch.Tensor":
        """The loss of the smoothed targets, `()`."""
        return choices.cross_entropy(smoothing=self._amount)
