"""Adversarial training: inputs moved by a little to where the loss is worse.

What is moved is x, a row's input to the part of the model that trains (`TrainedEntry`), by a shift
whose length is at most `--adversarial-epsilon` times that of x. Lengths are those of all real
tokens of a row together, so that neither padding nor the other rows matter. With g the gradient of
the row's loss by the shift, and unit(g) = g / |g|:

- fgm (Miyato et al. 2017, arXiv:1605.07725): shift = eps |x| unit(g), found without a shift. The
  step learns from the mean of the loss with and without it.
- pgd (Madry et al. 2018, arXiv:1706.06083): from a random start, K steps of 2 eps |x| / K along
  unit(g), each followed by a projection to the ball. The step learns from the last point alone.
- freelb (Zhu et al. 2020, arXiv:1909.11764): the same, and the step learns from the mean of the
  loss at each of the K points, the random start among them.

Weights need not train for their input to be moved, as is the case for the embeddings under LoRA.
"""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lowcost_ft.errors import UserError
from lowcost_ft.training.extensions.base import Extension, TrainingContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch

    from lowcost_ft.config.run import RunConfig
    from lowcost_ft.data.batching import MicroBatch
    from lowcost_ft.data.features import Features
    from lowcost_ft.training.extensions.base import Batch

__all__ = ["DEFAULT_EPSILON", "DEFAULT_STEPS", "Adversarial", "random_start"]

DEFAULT_EPSILON = 0.01
"""Most that an input is moved by, as a share of its length."""
DEFAULT_STEPS = 3
"""Steps of pgd and freelb."""

_ROWS, _LENGTHS = "adversarial.rows", "adversarial.lengths"


class Adversarial(Extension):
    """Several passes over each micro-batch, with a shift of what enters."""

    name = "adversarial"
    setting = "adversarial"
    own_settings = ("adversarial_epsilon", "adversarial_steps")
    keeps_inputs = True
    repeats = True

    def __init__(
        self,
        model: Any,
        *,
        kind: str,
        epsilon: float,
        steps: int,
        seed: int,
        trainable_layers: int | None = None,
    ) -> None:
        from lowcost_ft.models.loading import task_model
        from lowcost_ft.models.trained_entry import TrainedEntry

        self._entry = TrainedEntry(task_model(model), trainable_layers)
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._kind = kind
        self._epsilon = epsilon
        self._steps = steps
        self._seed = seed
        self._number = 0
        self._share = 1.0
        self._shift: torch.Tensor | None = None
        self._reach: torch.Tensor | None = None

    @classmethod
    def problems(cls, config: "RunConfig") -> list[str]:
        """fgm takes one step; compiled layers would be compiled again for each pass."""
        problems = []
        if config.adversarial == "fgm" and config.adversarial_steps is not None:
            problems.append(
                "--adversarial-steps is for pgd and freelb; --adversarial fgm takes one step"
            )
        if cls.asked_for(config) and config.torch_compile:
            problems.append(
                "--adversarial changes what enters the layers, which --torch-compile cannot "
                "follow: leave one of them out"
            )
        return problems

    @classmethod
    def of(cls, context: TrainingContext) -> "Adversarial":
        """The extension of a run.

        Raises:
            UserError: The model has two inputs, a source and what is written so far.
        """
        settings = context.settings
        assert settings.adversarial is not None
        if getattr(getattr(context.model, "config", None), "is_encoder_decoder", False):
            raise UserError(
                f"--adversarial {settings.adversarial}: {settings.model_id} is an encoder-decoder, "
                "which reads a source and what it has written so far, and --adversarial shifts one "
                "input; leave it out, or take a decoder such as SmolLM2"
            )
        return cls(
            context.model,
            kind=settings.adversarial,
            epsilon=settings.adversarial_epsilon or DEFAULT_EPSILON,
            steps=settings.adversarial_steps or DEFAULT_STEPS,
            seed=settings.seed,
            trainable_layers=settings.trainable_layers,
        )

    def begin(self, total_steps: int) -> None:
        """No step is done yet."""
        self._number = 0

    def after_update(self, number: int) -> None:
        """Notes the step: random starts differ from one to the next."""
        self._number = number

    def numbers(self) -> dict[str, Any]:
        """The last step that changed the weights."""
        return {"number": self._number}

    def load(self, tensors: "dict[str, torch.Tensor]", numbers: dict[str, Any]) -> None:
        """Goes on after that step."""
        self._number = numbers["number"]

    def record(self, epochs: int) -> dict[str, Any]:
        """How inputs were moved."""
        steps = {} if self._kind == "fgm" else {"steps": self._steps}
        return {"kind": self._kind, "epsilon": self._epsilon, **steps}

    def batch(self, batch: "Batch", rows: "MicroBatch", features: "Features") -> "Batch":
        """Adds which rows these are and how long: what random starts are drawn by."""
        import torch

        lengths = features.lengths[rows]
        return batch | {_ROWS: torch.from_numpy(rows), _LENGTHS: torch.from_numpy(lengths)}

    def loss(
        self,
        outputs: "torch.Tensor",
        batch: "Batch",
        *,
        inner: "Callable[[torch.Tensor, Batch], torch.Tensor]",
        forward: "Callable[[Batch], torch.Tensor]",
    ) -> "torch.Tensor":
        """The loss of one of the passes, weighted by its part in the step's, `()`."""
        loss = inner(outputs, batch)
        return loss if self._share == 1 else loss * self._share

    def backward(
        self, batch: "Batch", *, inner: "Callable[[Batch], torch.Tensor]"
    ) -> "torch.Tensor":
        """The passes; returns the loss that is learned from, `()`."""
        run = {"fgm": self._fgm, "pgd": self._pgd, "freelb": self._freelb}[self._kind]
        try:
            with self._entry.changed(lambda entering: self._shifted(entering, batch)):
                return run(batch, inner)
        finally:
            self._shift = self._reach = None
            self._share = 1.0

    def _fgm(self, batch: "Batch", inner: "Callable[[Batch], torch.Tensor]") -> "torch.Tensor":
        self._share = 0.5
        plain = inner(batch)
        self._ascend(batch, 1.0)
        return plain + inner(batch)

    def _pgd(self, batch: "Batch", inner: "Callable[[Batch], torch.Tensor]") -> "torch.Tensor":
        for step in range(self._steps):
            with _held(self._trained):  # The way there is not learned from.
                inner(batch)
            self._ascend(batch, 2 / self._steps, again=step < self._steps - 1)
        return inner(batch)

    def _freelb(self, batch: "Batch", inner: "Callable[[Batch], torch.Tensor]") -> "torch.Tensor":
        self._share = 1 / self._steps
        total = inner(batch)
        for step in range(1, self._steps):
            self._ascend(batch, 2 / self._steps, again=step < self._steps - 1)
            total = total + inner(batch)
        return total

    def _shifted(self, entering: "torch.Tensor", batch: "Batch") -> "torch.Tensor":
        """What enters, moved; the first pass of a micro-batch makes the shift."""
        import torch

        if self._shift is None:
            real = batch["attention_mask"][..., None]
            with torch.no_grad():
                self._reach = self._epsilon * _row_norm(entering.float() * real)
                shift = torch.zeros_like(entering)
                if self._kind != "fgm":
                    rows, lengths = batch[_ROWS].tolist(), batch[_LENGTHS].tolist()
                    random_start(shift, rows, lengths, seed=self._seed, step=self._number)
                    shift.mul_(self._reach)
            self._shift = shift.requires_grad_()
        return entering + self._shift

    def _ascend(self, batch: "Batch", length: float, *, again: bool = False) -> None:
        """Moves the shift along its gradient, by this share of the farthest reach.

        Args:
            batch: The micro-batch.
            length: Length of the step.
            again: Whether it will be moved once more.
        """
        import torch

        shift, reach = self._shift, self._reach
        assert shift is not None
        assert reach is not None
        gradient = shift.grad
        assert gradient is not None
        with torch.no_grad():
            gradient = gradient.float() * batch["attention_mask"][..., None]
            tiny = torch.finfo(torch.float32).tiny
            # Divided first: where a row has no gradient, reach / tiny would be infinite.
            moved = shift + length * reach * (gradient / _row_norm(gradient).clamp_min(tiny))
            if self._kind != "fgm":
                moved *= (reach / _row_norm(moved).clamp_min(tiny)).clamp_max(1)
            moved = moved.to(shift.dtype)
        self._shift = moved.requires_grad_(again)


def random_start(
    shift: "torch.Tensor",
    rows: "Sequence[int]",
    lengths: "Sequence[int]",
    *,
    seed: int,
    step: int,
) -> None:
    """Writes random numbers into a shift, drawn from seed, step and row alone.

    They are uniform, and at most 1 long as the vector of a row; the mean length is 1 / sqrt(3).

    Args:
        shift: `(batch, tokens, width)`, full of zeros, on any device.
        rows: Numbers of the rows.
        lengths: Their tokens, without padding.
        seed: Seed of the run.
        step: The step.
    """
    import numpy as np
    import torch

    if shift.is_meta:  # A simulated step has no numbers.
        return
    width = shift.shape[-1]
    for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        draw = np.random.default_rng([seed, step, row]).random((length, width), np.float32)
        draw = (2 * draw - 1) / np.float32((length * width) ** 0.5)
        shift[place, :length].copy_(torch.from_numpy(draw))


def _row_norm(tensor: "torch.Tensor") -> "torch.Tensor":
    """Length of each row as one vector, `(batch, 1, 1)`."""
    import torch

    return torch.linalg.vector_norm(tensor, dim=(1, 2), keepdim=True)


@contextmanager
def _held(parameters: "Sequence[torch.nn.Parameter]") -> "Iterator[None]":
    """Inside the block, these get no gradients."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
