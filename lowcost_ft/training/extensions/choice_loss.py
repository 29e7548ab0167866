"""Another loss of a task's choices in place of its own: what such extensions share."""

from typing import TYPE_CHECKING, Self

from lowcost_ft.training.extensions.base import Extension, TrainingContext

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from lowcost_ft.tasks.base import Task
    from lowcost_ft.tasks.choices import Choices
    from lowcost_ft.training.extensions.base import Batch

__all__ = ["ChoiceLoss"]


class ChoiceLoss(Extension):
    """Takes the loss that `of_choices` gives; its setting is the one number of it."""

    needs_choices = True
    split_models = True

    def __init__(self, task: "Task", amount: float) -> None:
        self._task = task
        self._amount = amount

    @classmethod
    def of(cls, context: TrainingContext) -> Self:
        """The extension of a run."""
        return cls(context.task, getattr(context.settings, cls.setting))

    def of_choices(self, choices: "Choices") -> "torch.Tensor":
        """Sum of the losses of some choices, `()`."""
        raise NotImplementedError

    def loss(
        self,
        outputs: "torch.Tensor",
        batch: "Batch",
        *,
        inner: "Callable[[torch.Tensor, Batch], torch.Tensor]",
        forward: "Callable[[Batch], torch.Tensor]",
    ) -> "torch.Tensor":
        """The loss of the micro-batch's choices, `()`."""
        choices = self._task.choices(outputs, batch)
        assert choices is not None
        return self.of_choices(choices)
