"""AdaLoRA's part in a training step: its penalty, and the ranks that it removes.

Each update is B diag(e) A (Zhang et al. 2023, arXiv:2303.10512). A penalty keeps the rows of A and
the columns of B orthonormal, so that an entry of e is a singular value; the least important entries
are set to zero on the way, until the budget of `target_r` a layer is kept, spread over all layers.
"""

from typing import TYPE_CHECKING, Any

from lowcost_ft.training.extensions.base import Extension, TrainingContext

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

__all__ = ["AdaLora"]

_MEMORY = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""What the allocator knows of each weight: its importance, and two running means of it."""


class AdaLora(Extension):
    """Adds AdaLoRA's penalty and removes ranks in each step.

    peft adds the penalty only if the model itself computes the loss, which it does not do here.
    """

    name = "adalora"

    def __init__(self, peft_model: "PeftModel") -> None:
        tuner: Any = peft_model.base_model
        self._tuner = tuner
        self._config: Any = peft_model.active_peft_config
        self._first_pattern = self._config.rank_pattern
        self._factors = [
            parameter
            for name, parameter in tuner.model.named_parameters()
            if ".lora_A." in name or ".lora_B." in name
        ]

    @classmethod
    def of(cls, context: TrainingContext) -> "AdaLora | None":
        """The extension of a model's AdaLoRA adapter; None for every other model."""
        from lowcost_ft.models.adalora import is_adalora

        return cls(context.model) if is_adalora(context.model) else None

    def begin(self, total_steps: int) -> None:
        """Sets the schedule: all ranks for the first fifth of the steps, the remaining ones for the
        last three tenths, and in between ranks are removed in up to a hundred rounds.
        """
        self._config.total_step = total_steps
        self._config.tinit = total_steps // 5
        self._config.tfinal = total_steps * 3 // 10
        self._config.deltaT = max(1, total_steps // 100)
        self._config.rank_pattern = self._first_pattern
        self._tuner.rankallocator.reset_ipt()

    def penalty(self) -> "torch.Tensor":
        """The weighted mean of ||A A^T - I|| and ||B^T B - I|| over all layers, `()`."""
        import torch

        terms = []
        for factor in self._factors:
            wide = factor if factor.shape[0] <= factor.shape[1] else factor.T  # (r, features)
            gram = wide @ wide.T
            terms.append(torch.linalg.matrix_norm(gram - torch.eye(len(gram), device=gram.device)))
        return self._config.orth_reg_weight * torch.stack(terms).mean()

    def after_update(self, number: int) -> None:
        """Computes from weights and gradients which ranks matter, and removes the others."""
        self._tuner.update_and_allocate(number)

    def tensors(self) -> "dict[str, torch.Tensor]":
        """The allocator's memory of each weight, by its kind and name."""
        allocator = self._tuner.rankallocator
        return {
            f"{kind}.{name}": value
            for kind in _MEMORY
            for name, value in getattr(allocator, kind).items()
        }

    def numbers(self) -> dict[str, Any]:
        """Which ranks of each layer are left; None while all are."""
        return {"rank_pattern": self._config.rank_pattern}

    def load(self, tensors: "dict[str, torch.Tensor]", numbers: dict[str, Any]) -> None:
        """Restores what `tensors` and `numbers` returned."""
        allocator = self._tuner.rankallocator
        for key, value in tensors.items():
            kind, _, name = key.partition(".")
            getattr(allocator, kind)[name] = value.to(self._factors[0].device)
        self._config.rank_pattern = numbers["rank_pattern"]
