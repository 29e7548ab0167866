"""R-Drop: two passes over each row under different dropout, whose answers should agree.

With the two losses L1 and L2 and the two distributions P and Q of each choice, a row has the loss
(L1 + L2) / 2 + weight / 4 (KL(P, Q) + KL(Q, P)): half of what Liang et al. 2021 (arXiv:2106.14448)
write, so that a learning rate means what it meant before. A choice counts in the second term as
much as in the loss.
"""

from typing import TYPE_CHECKING, Any

from lowcost_ft.errors import UserError
from lowcost_ft.training.extensions.base import Extension, TrainingContext

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from lowcost_ft.config.run import RunConfig
    from lowcost_ft.tasks.base import Task
    from lowcost_ft.tasks.choices import Choices
    from lowcost_ft.training.extensions.base import Batch

__all__ = ["DEFAULT_WEIGHT", "Consistency", "disagreement"]

DEFAULT_WEIGHT = 1.0
"""Weight of the disagreement."""


class Consistency(Extension):
    """A second forward pass, its loss, and how far the two are apart."""

    name = "consistency"
    setting = "consistency"
    own_settings = ("consistency_weight",)
    needs_choices = True
    repeats = True

    def __init__(self, task: "Task", weight: float) -> None:
        self._task = task
        self._weight = weight

    @classmethod
    def problems(cls, config: "RunConfig") -> list[str]:
        """Without dropout the two passes are one and the same."""
        if not cls.asked_for(config) or config.settled_dropout != 0 or config.lora_dropout > 0:
            return []
        return [
            f"--dropout {config.dropout} and --consistency {config.consistency}: the two passes "
            "differ by dropout alone; set --dropout 0.1, or leave --consistency out"
        ]

    @classmethod
    def of(cls, context: TrainingContext) -> "Consistency":
        """The extension of a run.

        Raises:
            UserError: The model has no dropout above its frozen layers.
        """
        from lowcost_ft.models.trained_entry import has_dropout

        if not has_dropout(context.model):
            raise UserError(
                f"--consistency {context.settings.consistency}: this model has no dropout of its "
                "own where it trains, and the two passes would be the same; set --dropout 0.1 "
                "(or --lora-dropout 0.1)"
            )
        weight = context.settings.consistency_weight
        return cls(context.task, DEFAULT_WEIGHT if weight is None else weight)

    def loss(
        self,
        outputs: "torch.Tensor",
        batch: "Batch",
        *,
        inner: "Callable[[torch.Tensor, Batch], torch.Tensor]",
        forward: "Callable[[Batch], torch.Tensor]",
    ) -> "torch.Tensor":
        """The mean of both losses and the weighted disagreement, `()`."""
        again = forward(batch)
        first, second = self._task.choices(outputs, batch), self._task.choices(again, batch)
        assert first is not None
        assert second is not None
        losses = inner(outputs, batch) + inner(again, batch)
        return losses / 2 + self._weight / 4 * disagreement(first, second)

    def record(self, epochs: int) -> dict[str, Any]:
        """The weight of the disagreement."""
        return {"weight": self._weight}


def disagreement(first: "Choices", second: "Choices") -> "torch.Tensor":
    """Sum over the choices of KL(P, Q) + KL(Q, P), `()`; the mean over classes of yes and no."""
    if first.yes_or_no:
        apart = (first.logits.sigmoid() - second.logits.sigmoid()) * (first.logits - second.logits)
        return apart.mean(-1).sum()
    p, q = first.logits.log_softmax(-1), second.logits.log_softmax(-1)  # (choices, classes)
    shares = first.shares()
    assert shares is not None
    return (((p.exp() - q.exp()) * (p - q)).sum(-1) * shares).sum()
