"""AdaLoRA's part in a training step: its penalty, and the ranks that it takes away.

Each update is B diag(e) A (Zhang et al. 2023, arXiv:2303.10512). A penalty keeps the rows of A and
the columns of B orthonormal, so that an entry of e is a singular value; the least important entries
are set to zero on the way, until the budget of `target_r` a layer is kept, spread over all layers.
"""

from typing import Any

import torch
from peft import AdaLoraConfig, PeftModel

__all__ = ["AdaLoraSteps"]

_MEMORY = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""What the allocator knows of each weight: its importance, and two running means of it."""


class AdaLoraSteps:
    """What a training loop calls, for a model that has an AdaLoRA adapter.

    peft adds the penalty only where the model itself computes the loss, which it does not here.
    """

    def __init__(self, peft_model: PeftModel) -> None:
        tuner: Any = peft_model.base_model
        self._tuner = tuner
        self._config: Any = peft_model.active_peft_config
        self._factors = [
            parameter
            for name, parameter in tuner.model.named_parameters()
            if ".lora_A." in name or ".lora_B." in name
        ]

    @classmethod
    def of(cls, model: Any) -> "AdaLoraSteps | None":
        """The steps of a model's AdaLoRA adapter; None for every other model."""
        if isinstance(model, PeftModel) and isinstance(model.active_peft_config, AdaLoraConfig):
            return cls(model)
        return None

    def begin(self, total_steps: int) -> None:
        """Lays the schedule out: all ranks for a fifth of the steps, the last ones for three tenths
        of them, and in between they are taken away in up to a hundred rounds.
        """
        self._config.total_step = total_steps
        self._config.tinit = total_steps // 5
        self._config.tfinal = total_steps * 3 // 10
        self._config.deltaT = max(1, total_steps // 100)

    def penalty(self) -> torch.Tensor:
        """The weighted mean of ||A A^T - I|| and ||B^T B - I|| over all layers, `()`."""
        terms = []
        for factor in self._factors:
            wide = factor if factor.shape[0] <= factor.shape[1] else factor.T  # (r, features)
            gram = wide @ wide.T
            terms.append(torch.linalg.matrix_norm(gram - torch.eye(len(gram), device=gram.device)))
        return self._config.orth_reg_weight * torch.stack(terms).mean()

    def after_step(self, number: int) -> None:
        """Takes ranks away; to be called after an optimizer step, while its gradients are there.

        Args:
            number: The step, from 1.
        """
        self._tuner.update_and_allocate(number)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a resumed run needs beside the weights and the rank pattern."""
        allocator = self._tuner.rankallocator
        return {
            f"{kind}.{name}": value
            for kind in _MEMORY
            for name, value in getattr(allocator, kind).items()
        }

    @property
    def rank_pattern(self) -> dict[str, list[bool]] | None:
        """Which ranks of which layer are left; None as long as all are."""
        pattern: dict[str, list[bool]] | None = self._config.rank_pattern
        return pattern

    def load(
        self, tensors: dict[str, torch.Tensor], rank_pattern: dict[str, list[bool]] | None
    ) -> None:
        """Goes on from what `tensors` and `rank_pattern` were; to be called after `begin`."""
        allocator = self._tuner.rankallocator
        for key, value in tensors.items():
            kind, _, name = key.partition(".")
            getattr(allocator, kind)[name] = value.to(self._factors[0].device)
        self._config.rank_pattern = rank_pattern
