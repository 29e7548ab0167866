"""Keeps the weights of the best epoch so far in a file, until training ends."""

from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn

from lowcost_ft.errors import UserError
from lowcost_ft.training.checkpoint_files import save_tensors
from lowcost_ft.training.sharding import put_back, whole_tensors

__all__ = ["BestEpoch"]


class BestEpoch:
    """Keeps the trainable weights of the epoch with the best score in a file.

    Of equal scores, the one with the lower validation loss is better: that model is right as often,
    and more confident. Without a loss the earlier epoch stays the best.
    """

    def __init__(self, accelerator: Accelerator, path: Path) -> None:
        self.accelerator = accelerator
        self.path = path
        self.score: float | None = None
        self.loss: float | None = None
        self.epoch: int | None = None
        self.without_better = 0

    def update(
        self, model: nn.Module, score: float, epoch: int, *, loss: float | None = None
    ) -> None:
        """Keeps the weights if no earlier epoch was as good, and counts the epochs since then.

        Args:
            model: The model with the weights of the epoch.
            score: Its validation score; higher is better.
            epoch: Its number.
            loss: Its validation loss, over the labels that the model knows.
        """
        if not self._is_better(score, loss):
            self.without_better += 1
            return
        self.score, self.loss, self.epoch, self.without_better = score, loss, epoch, 0
        parameters = self.accelerator.unwrap_model(model).named_parameters()
        trained = ((name, p) for name, p in parameters if p.requires_grad)
        main = self.accelerator.is_main_process
        whole = whole_tensors(trained, keep=main)
        if main:
            save_tensors(whole, self.path)

    def _is_better(self, score: float, loss: float | None) -> bool:
        if self.score is None or score > self.score:
            return True
        tie = score == self.score and loss is not None and self.loss is not None
        return tie and loss < self.loss  # type: ignore[operator]

    def state_dict(self) -> dict[str, Any]:
        """Its numbers, for a checkpoint; the weights are in the file."""
        names = ("score", "loss", "epoch", "without_better")
        return {name: getattr(self, name) for name in names}

    def load(self, state: dict[str, Any], weights: Path) -> None:
        """Goes on from a checkpoint's numbers and weights."""
        self.score, self.epoch = state["score"], state["epoch"]
        self.loss = state.get("loss")  # Older checkpoints have none.
        self.without_better = state["without_better"]
        if self.epoch is not None and self.accelerator.is_main_process:
            save_tensors(load_file(weights), self.path)

    def restore(self, model: nn.Module) -> None:
        """Puts the weights back, unless they are those of the last epoch.

        Raises:
            UserError: Their file has been removed.
        """
        self.accelerator.wait_for_everyone()
        if self.without_better and not self.path.is_file():
            raise UserError(
                f"{self.path} disappeared during the run, and with it the weights of the "
                "best epoch: run the same command with --resume to continue from the last "
                "checkpoint"
            )
        if self.without_better:
            put_back(model, load_file(self.path))
        self.accelerator.wait_for_everyone()
