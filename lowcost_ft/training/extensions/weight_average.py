"""An average of the weights, which is scored and saved instead of the last weights.

After step t, the average a of each weight w becomes d a + (1 - d) w, where d is `--ema` but at most
(1 + t) / (10 + t), so that a short run forgets where it started, too. TensorFlow's
`ExponentialMovingAverage` does this with the number of updates.
"""

from typing import TYPE_CHECKING, Any

from lowcost_ft.errors import UserError
from lowcost_ft.training.extensions.base import Extension, TrainingContext

if TYPE_CHECKING:
    import torch

    from lowcost_ft.config.run import RunConfig

__all__ = ["WeightAverage", "share_kept"]


def share_kept(decay: float, step: int) -> float:
    """The share d of the average that a step keeps; steps count from 1."""
    return min(decay, (1 + step) / (10 + step))


class WeightAverage(Extension):
    """Keeps the average beside the weights that train, and swaps the two."""

    name = "weight_average"
    setting = "ema"
    split_models = True

    def __init__(self, model: Any, decay: float) -> None:
        self._model = model
        self._decay = decay
        self._weights: dict[str, torch.Tensor] = {}
        self._average: dict[str, torch.Tensor] = {}
        self._steps = 0

    @classmethod
    def asked_for(cls, config: "RunConfig") -> bool:  # type: ignore[override]
        """Whether an average is kept."""
        return config.settled_ema > 0

    @classmethod
    def of(cls, context: TrainingContext) -> "WeightAverage":
        """The extension of a run.

        Raises:
            UserError: The adapter is AdaLoRA's, which takes ranks away by setting them to 0: an
                average is never 0 again, so that all of them would be kept.
        """
        from lowcost_ft.models.adalora import is_adalora

        if is_adalora(context.model):
            raise UserError(
                f"--ema {context.settings.ema}: AdaLoRA takes ranks away in the end, and an "
                "average of the weights would keep them; leave --ema out, or take --method lora"
            )
        return cls(context.model, context.settings.settled_ema)

    def begin(self, total_steps: int) -> None:
        """Starts the average as the weights are; FSDP has split them by now."""
        self._weights = {n: p for n, p in self._model.named_parameters() if p.requires_grad}
        self._average = {name: w.detach().clone() for name, w in self._weights.items()}
        self._steps = 0

    def after_update(self, number: int) -> None:
        """Moves the average towards the new weights."""
        import torch

        from lowcost_ft.training.sharding import own_part

        self._steps += 1
        share = 1 - share_kept(self._decay, self._steps)
        averages, weights = (
            [own_part(tensor) for tensor in tensors.values()]
            for tensors in (self._average, self._weights)
        )
        with torch.no_grad():
            torch._foreach_lerp_(averages, weights, share)

    def swap_in(self) -> None:
        """Swaps the average and the weights, bit for bit."""
        from lowcost_ft.training.sharding import exchange

        exchange(self._model, self._weights, self._average)

    def swap_out(self) -> None:
        """Swaps them back."""
        self.swap_in()

    def tensors(self) -> "dict[str, torch.Tensor]":
        """The average of each weight."""
        return dict(self._average)

    def numbers(self) -> dict[str, Any]:
        """The number of steps in the average."""
        return {"steps": self._steps}

    def load(self, tensors: "dict[str, torch.Tensor]", numbers: dict[str, Any]) -> None:
        """Restores what `tensors` and `numbers` returned."""
        from lowcost_ft.training.sharding import split_like

        for name, average in self._average.items():
            average.copy_(split_like(average, {name: tensors[name]})[name])
        self._steps = numbers["steps"]

    def record(self, epochs: int) -> dict[str, Any]:
        """The share that is kept."""
        return {"decay": self._decay, "steps": self._steps}
