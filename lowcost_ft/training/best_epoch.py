"""The weights of the best epoch so far, in a file until training ends."""

from contextlib import suppress
from pathlib import Path

from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn

from lowcost_ft.training.sharding import put_back, whole_tensors

__all__ = ["BestEpoch"]


class BestEpoch:
    """Keeps the trainable weights of the epoch with the best score, in a file meanwhile."""

    def __init__(self, accelerator: Accelerator, path: Path) -> None:
        self.accelerator = accelerator
        self.path = path
        self.score: float | None = None
        self.epoch: int | None = None
        self.without_better = 0

    def update(self, model: nn.Module, score: float, epoch: int) -> None:
        """Keeps the weights if no earlier epoch scored as high."""
        if self.score is not None and score <= self.score:
            self.without_better += 1
            return
        self.score, self.epoch, self.without_better = score, epoch, 0
        parameters = self.accelerator.unwrap_model(model).named_parameters()
        trained = ((name, p) for name, p in parameters if p.requires_grad)
        main = self.accelerator.is_main_process
        whole = whole_tensors(trained, keep=main)
        if main:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(whole, self.path)

    def restore(self, model: nn.Module) -> None:
        """Puts the weights back, unless they are those of the last epoch, and removes the file."""
        self.accelerator.wait_for_everyone()
        if self.without_better:
            put_back(model, load_file(self.path))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self.path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                self.path.parent.rmdir()
