"""What a training trick may do, and when: each is an `Extension` in a module of its own.

A module of this folder holds everything about one trick: its settings, what they exclude, and what
it does in a step. Its top level imports no PyTorch, since `--help` reads the settings.

The order of a run is: `begin`; then for each epoch `epoch`; for each micro-batch of a step `batch`,
`backward`, and inside of that `forward` and `loss`; once a step `penalty` and `after_update`. Where
the model is scored or saved, `swap_in` comes before and `swap_out` after. Where memory is
predicted, all but these two run on tensors of the meta device: they may read shapes, not numbers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from lowcost_ft.config.run import RunConfig
    from lowcost_ft.config.settings import TrainingConfig
    from lowcost_ft.data.batching import MicroBatch
    from lowcost_ft.data.features import Features
    from lowcost_ft.tasks.base import Task
    from lowcost_ft.training.extensions.teaching import Teaching

    Batch = dict[str, torch.Tensor]
    Outputs = Callable[[Features, MicroBatch], tuple[torch.Tensor, Batch]]

__all__ = ["Extension", "TrainingContext"]


@dataclass(frozen=True, kw_only=True)
class TrainingContext:
    """What an extension is made from.

    Attributes:
        settings: The settings of the run.
        model: The model as it was built, with its adapter; on the meta device where memory is
            predicted.
        task: The task.
        features: The training data, tokenized.
        pad_token_id: Token that fills up a micro-batch.
        examples: The training data as it was read; None where only its lengths are known.
        tokenizer: The tokenizer; None in the same cases.
        teaching: What the teachers of a distillation say of the data; None in the same cases.
    """

    settings: "RunConfig"
    model: Any
    task: "Task"
    features: "Features"
    pad_token_id: int
    examples: Sequence[Any] | None = None
    tokenizer: "PreTrainedTokenizerBase | None" = None
    teaching: "Teaching | None" = None


class Extension:
    """A training trick. It overrides the methods it needs; the others are never called.

    The gradient of a step must not depend on how the step is cut: what `batch`, `forward`, `loss`
    and `backward` do to a row may not depend on the other rows of its micro-batch.
    """

    name: ClassVar[str]
    """Name of its state in checkpoints."""
    setting: ClassVar[str] = ""
    """The setting that turns it on; empty where something else does."""
    needs_choices: ClassVar[bool] = False
    """Whether it is about choices between classes (`Task.choices`), which not every task makes."""
    numbers_choices: ClassVar[bool] = False
    """Whether it must know them again in another model's answers (`Task.choice_numbers`)."""
    edits_texts: ClassVar[bool] = False
    """Whether it changes texts, which not every task lets it do (`Task.can_edit`)."""
    takes_answers: ClassVar[bool] = False
    """Whether it takes answers as labels, which not every task lets it do (`Task.can_label`)."""
    needs_settings: ClassVar[Mapping[str, Any]] = {}
    """Values that other settings must have beside it, which not every task has."""
    own_settings: ClassVar[tuple[str, ...]] = ()
    """Settings that mean something only beside it."""
    needs_whole_text_labels: ClassVar[bool] = False
    """Whether each row must be one text with one class, or one set of classes
    (`Task.labels_whole_texts`)."""
    regroups: ClassVar[bool] = False
    """Whether its `epoch` only puts the same texts together into rows (`Features.members`), so that
    the output of frozen layers for them may be kept on disk."""
    keeps_inputs: ClassVar[bool] = False
    """Whether its `batch` leaves what the model reads as it is, so that the output of frozen layers
    may be kept on disk."""
    repeats: ClassVar[bool] = False
    """Whether it runs the same rows through the model several times in a micro-batch. Frozen layers
    then run only the first time."""
    fits_head: ClassVar[bool] = False
    """Whether the head is made in `finish` alone, so that scores before it mean nothing."""
    split_models: ClassVar[bool] = False
    """Whether it leaves weights and passes alone, so that FSDP may split the model."""

    @classmethod
    def asked_for(cls, config: "TrainingConfig") -> bool:
        """Whether its setting is given."""
        return bool(cls.setting) and getattr(config, cls.setting) is not None

    @classmethod
    def flag(cls) -> str:
        """Its setting as the command line has it."""
        return "--" + cls.setting.replace("_", "-")

    @classmethod
    def problems(cls, config: "RunConfig") -> list[str]:
        """What is wrong with its settings, and which other settings they exclude."""
        return []

    @classmethod
    def usual_epochs(cls, examples: int) -> int | None:
        """Passes over so many examples where the user gives no number; None: as without it."""
        return None

    @classmethod
    def rate_factor(cls, examples: int) -> float:
        """What the default learning rate is multiplied by for so many training examples."""
        return 1.0

    @classmethod
    def of(cls, context: TrainingContext) -> Self | None:
        """The extension for a run; None where the run does without it.

        One with a setting is asked only where that is given.
        """
        raise NotImplementedError

    def begin(self, total_steps: int) -> None:
        """Sets all of its state to the beginning, and draws no random numbers.

        It is called again after a rehearsal, which runs steps whose effect is taken back.
        """

    def epoch(self, features: "Features", number: int) -> "Features":
        """The rows of an epoch, before they are planned and cut into micro-batches.

        Args:
            features: The training data, or what another extension made of it.
            number: The epoch, from 0.

        Returns:
            Rows with as many examples in every epoch. They depend on nothing but the arguments and
            the settings (the seed), so that a resumed run and the memory plan find the same.
        """
        return features

    def batch(self, batch: "Batch", rows: "MicroBatch", features: "Features") -> "Batch":
        """The inputs and labels of a micro-batch, on the device, before the forward pass.

        Args:
            batch: Tensors by name, `(rows, tokens)` or `(rows, ...)`.
            rows: The rows of `features` that they hold.
            features: The rows of the epoch.

        Returns:
            The same or other tensors. One that is for the loss alone is called `NAME.what`: the
            model does not get it.
        """
        return batch

    def forward(
        self, batch: "Batch", *, inner: "Callable[[Batch], torch.Tensor]"
    ) -> "torch.Tensor":
        """Around the forward pass, which is `inner(batch)`; returns the model's outputs."""
        return inner(batch)

    def loss(
        self,
        outputs: "torch.Tensor",
        batch: "Batch",
        *,
        inner: "Callable[[torch.Tensor, Batch], torch.Tensor]",
        forward: "Callable[[Batch], torch.Tensor]",
    ) -> "torch.Tensor":
        """Around the loss.

        Args:
            outputs: Outputs of the forward pass.
            batch: The micro-batch.
            inner: The loss of some outputs, `()`: a sum over the rows.
            forward: Another forward pass.

        Returns:
            A sum over the rows as well, `()`, which the step divides by its weight.
        """
        return inner(outputs, batch)

    def backward(
        self, batch: "Batch", *, inner: "Callable[[Batch], torch.Tensor]"
    ) -> "torch.Tensor":
        """Around the forward and the backward pass of a micro-batch.

        Args:
            batch: The micro-batch.
            inner: Runs both, adds to the gradients, and returns the loss, `()`. It may be called
                more than once.

        Returns:
            The loss to report for the micro-batch, `()`.
        """
        return inner(batch)

    def penalty(self) -> "torch.Tensor":
        """A term, `()`, whose gradient is added once a step; the reported loss leaves it out."""
        raise NotImplementedError

    def after_update(self, number: int) -> None:
        """When the weights are new, and their gradients still there.

        Args:
            number: The step, from 1. Steps that changed no weight are left out.
        """

    def swap_in(self) -> None:
        """Puts the weights into the model that are scored and saved, and keeps those that train."""

    def swap_out(self) -> None:
        """Puts the weights back that train, bit by bit. The end of a run leaves them out."""

    def finish(self, outputs: "Outputs") -> None:
        """When the last weights are in the model, before they are scored and saved.

        A run that is resumed after its last step comes here again.

        Args:
            outputs: Runs the model on rows of some features, in evaluation mode and without
                gradients; gives the outputs and the micro-batch.
        """

    def tensors(self) -> "dict[str, torch.Tensor]":
        """The tensors that a resumed run needs, beside the weights that train."""
        return {}

    def numbers(self) -> dict[str, Any]:
        """The same of what JSON can hold."""
        return {}

    def load(self, tensors: "dict[str, torch.Tensor]", numbers: dict[str, Any]) -> None:
        """Goes on from what `tensors` and `numbers` were; comes after `begin`."""

    def record(self, epochs: int) -> dict[str, Any]:
        """What run.json says of it: settings as they were settled, and what was done.

        Args:
            epochs: How many were begun.
        """
        return {}

    def resident(self) -> "Iterable[torch.Tensor]":
        """Tensors that take memory from step to step and belong to no weight that trains."""
        return self.tensors().values()
