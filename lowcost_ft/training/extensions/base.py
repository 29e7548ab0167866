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
    """Everything that an extension may be made from.

    Attributes:
        settings: The settings of the run.
        model: The model as it was built, with its adapter; on the meta device where memory is
            predicted.
        task: The task.
        features: The training data, tokenized.
        pad_token_id: Token that fills up a micro-batch.
        examples: The training data as it was read; None where only its lengths are known.
        tokenizer: The tokenizer; None where only the lengths of the data are known.
        teaching: The answers of a distillation's teachers to the data; None without teachers, and
            where only lengths are known.
        device: Type of the device that trains, such as "cpu", also where memory is predicted; empty
            where it does not matter.
        sharded: Whether processes share the weights, so that all must run the same passes.
    """

    settings: "RunConfig"
    model: Any
    task: "Task"
    features: "Features"
    pad_token_id: int
    examples: Sequence[Any] | None = None
    tokenizer: "PreTrainedTokenizerBase | None" = None
    teaching: "Teaching | None" = None
    device: str = ""
    sharded: bool = False


class Extension:
    """A training trick. A subclass overrides the methods that it needs; others are never called.

    The gradient of a step must not depend on how the step is cut. So what `batch`, `forward`,
    `loss` and `backward` do to a row must not depend on the other rows of its micro-batch.
    """

    name: ClassVar[str]
    """The name of its state in checkpoints."""
    setting: ClassVar[str] = ""
    """The setting that turns it on; empty where something else does."""
    needs_choices: ClassVar[bool] = False
    """Whether the task must choose between classes (`Task.choices`)."""
    numbers_choices: ClassVar[bool] = False
    """Whether it must find the same choices in another model's answers (`Task.choice_numbers`)."""
    edits_texts: ClassVar[bool] = False
    """Whether it changes texts, which the task must allow (`Task.can_edit`)."""
    takes_answers: ClassVar[bool] = False
    """Whether it takes answers as labels, which the task must allow (`Task.can_label`)."""
    needs_settings: ClassVar[Mapping[str, Any]] = {}
    """Values that other settings must have; a task that lacks such a setting is refused."""
    own_settings: ClassVar[tuple[str, ...]] = ()
    """Settings that have a meaning only together with it."""
    needs_whole_text_labels: ClassVar[bool] = False
    """Whether each row must be one text with one class, or one set of classes
    (`Task.labels_whole_texts`)."""
    regroups: ClassVar[bool] = False
    """Whether its `epoch` only groups the same texts into rows (`Features.members`), so that the
    output of frozen layers for each text may be kept on disk."""
    keeps_inputs: ClassVar[bool] = False
    """Whether its `batch` does not change what the model reads, so that the output of frozen layers
    may be kept on disk."""
    repeats: ClassVar[bool] = False
    """Whether it runs the same rows through the model several times in a micro-batch. Frozen layers
    then run only the first time."""
    fits_head: ClassVar[bool] = False
    """Whether the head is made only in `finish`, so that scores before that mean nothing."""
    split_models: ClassVar[bool] = False
    """Whether it touches neither weights nor passes, so that FSDP may split the model."""

    @classmethod
    def asked_for(cls, config: "TrainingConfig") -> bool:
        """Whether its setting is given."""
        return bool(cls.setting) and getattr(config, cls.setting) is not None

    @classmethod
    def flag(cls) -> str:
        """The flag of its setting."""
        return "--" + cls.setting.replace("_", "-")

    @classmethod
    def problems(cls, config: "RunConfig") -> list[str]:
        """What is wrong with its settings, and which other settings they exclude."""
        return []

    @classmethod
    def usual_epochs(cls, examples: int) -> int | None:
        """Epochs for so many examples if the user gives no number; None: as without it."""
        return None

    @classmethod
    def rate_factor(cls, examples: int) -> float:
        """The factor on the default learning rate for so many training examples."""
        return 1.0

    @classmethod
    def of(cls, context: TrainingContext) -> Self | None:
        """Makes the extension of a run; None if the run does without it.

        It is called only if the setting, where the extension has one, is given.
        """
        raise NotImplementedError

    def notes(self) -> list[str]:
        """What the user should know before training begins."""
        return []

    def begin(self, total_steps: int) -> None:
        """Sets all of its state to the beginning, without drawing random numbers.

        It is called again after a rehearsal, which runs steps and then undoes their effect.

        Args:
            total_steps: Optimizer steps of the run.
        """

    def epoch(self, features: "Features", number: int) -> "Features":
        """Makes the rows of an epoch, before steps are planned and cut into micro-batches.

        Args:
            features: The training data, or what another extension made of it.
            number: The epoch, from 0.

        Returns:
            Rows of equally many examples in every epoch. They must depend only on the arguments and
            the settings (the seed), so that a resumed run and the memory plan get the same.
        """
        return features

    def batch(self, batch: "Batch", rows: "MicroBatch", features: "Features") -> "Batch":
        """Changes the inputs and labels of a micro-batch, on the device, before the forward pass.

        Args:
            batch: Tensors by name, `(rows, tokens)` or `(rows, ...)`.
            rows: The rows of `features` that they hold.
            features: The rows of the epoch.

        Returns:
            The tensors. One whose name has a dot (`NAME.what`) is for the loss of the extension;
            the model does not get it.
        """
        return batch

    def forward(
        self, batch: "Batch", *, inner: "Callable[[Batch], torch.Tensor]"
    ) -> "torch.Tensor":
        """Wraps the forward pass, which is `inner(batch)`; returns the model's outputs."""
        return inner(batch)

    def loss(
        self,
        outputs: "torch.Tensor",
        batch: "Batch",
        *,
        inner: "Callable[[torch.Tensor, Batch], torch.Tensor]",
        forward: "Callable[[Batch], torch.Tensor]",
    ) -> "torch.Tensor":
        """Wraps the loss.

        Args:
            outputs: Outputs of the forward pass.
            batch: The micro-batch.
            inner: Computes the loss of some outputs, `()`, a sum over the rows.
            forward: Runs another forward pass.

        Returns:
            The loss, `()`, again a sum over the rows; the step divides it by its weight.
        """
        return inner(outputs, batch)

    def backward(
        self, batch: "Batch", *, inner: "Callable[[Batch], torch.Tensor]"
    ) -> "torch.Tensor":
        """Wraps the forward and the backward pass of a micro-batch.

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
        """Called after the weights have changed, while their gradients are still there.

        Args:
            number: The step, from 1. It is not called for steps that changed no weight.
        """

    def swap_in(self) -> None:
        """Puts the weights that are scored and saved into the model, and keeps those that train."""

    def swap_out(self) -> None:
        """Puts the weights that train back, bit by bit. It is not called at the end of a run."""

    def finish(self, outputs: "Outputs") -> None:
        """Called when the final weights are in the model, before they are scored and saved.

        A run that is resumed after its last step calls it again.

        Args:
            outputs: Runs the model on rows of some features, in evaluation mode and without
                gradients; returns the outputs and the micro-batch.
        """

    def tensors(self) -> "dict[str, torch.Tensor]":
        """The tensors that a resumed run needs besides the trainable weights, by name."""
        return {}

    def numbers(self) -> dict[str, Any]:
        """The numbers, texts and lists that a resumed run needs, in types that JSON has."""
        return {}

    def load(self, tensors: "dict[str, torch.Tensor]", numbers: dict[str, Any]) -> None:
        """Restores what `tensors` and `numbers` returned; called after `begin`."""

    def record(self, epochs: int) -> dict[str, Any]:
        """What run.json records: settings as they were decided, and what was done.

        Args:
            epochs: How many epochs were begun.
        """
        return {}

    def resident(self) -> "Iterable[torch.Tensor]":
        """Tensors that take memory all the time and are not trainable weights."""
        return self.tensors().values()
