"""Label smoothing: targets that leave a share of the probability to all classes alike.

With share s and K classes, the target of the right class is 1 - s + s / K and that of each other
one s / K (Szegedy et al. 2016, arXiv:1512.00567), as in PyTorch's `cross_entropy`, class weights
included. A yes or no of its own becomes 1 - s / 2 or s / 2.
"""

from typing import TYPE_CHECKING

from lowcost_ft.training.extensions.base import Extension, TrainingContext

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from lowcost_ft.config.run import RunConfig
    from lowcost_ft.tasks.base import Task
    from lowcost_ft.training.extensions.base import Batch

__all__ = ["LabelSmoothing"]


class LabelSmoothing(Extension):
    """Takes the loss of smoothed targets in place of the task's own."""

    name = "label_smoothing"
    setting = "label_smoothing"
    needs_choices = True
    split_models = True

    def __init__(self, task: "Task", share: float) -> None:
        self._task = task
        self._share = share

    @classmethod
    def problems(cls, config: "RunConfig") -> list[str]:
        """It changes the same loss as the focal weights."""
        if cls.asked_for(config) and config.focal_gamma is not None:
            return ["--label-smoothing and --focal-gamma both change the loss: give one of them"]
        return []

    @classmethod
    def of(cls, context: TrainingContext) -> "LabelSmoothing":
        """The extension of a run."""
        share = context.settings.label_smoothing
        assert share is not None
        return cls(context.task, share)

    def loss(
        self,
        outputs: "torch.Tensor",
        batch: "Batch",
        *,
        inner: "Callable[[torch.Tensor, Batch], torch.Tensor]",
        forward: "Callable[[Batch], torch.Tensor]",
    ) -> "torch.Tensor":
        """The loss of the smoothed targets, `()`."""
        choices = self._task.choices(outputs, batch)
        assert choices is not None
        return choices.cross_entropy(smoothing=self._share)
