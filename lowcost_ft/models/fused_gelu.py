"""The GELU of GPT-2, ALBERT and T5 as one operation instead of eight.

transformers writes this approximation (Hendrycks and Gimpel 2016, with tanh) out in operations of
their own: each reads and writes the widest tensors of a layer and keeps some of them for the
backward pass. PyTorch has the same function as one kernel; the two differ by rounding alone.
"""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from transformers.activations import NewGELUActivation

__all__ = ["fuse_gelu"]


def fuse_gelu(model: nn.Module) -> None:
    """Lets all such layers of a model compute their function in one kernel."""
    for module in model.modules():
        if type(module) is NewGELUActivation:
            module.__class__ = _FusedGELU


class _FusedGELU(NewGELUActivation):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return F.gelu(input, approximate="tanh")
