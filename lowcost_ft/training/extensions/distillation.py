"""Distillation: a student learns the answers of a teacher beside the labels, and its hidden states.

A choice with a label has the loss (1 - a) L + a T^2 KL(q, p), where L is the loss of the label, q
and p are the distributions of teacher and student with their logits divided by the temperature T
(Hinton et al. 2015, arXiv:1503.02531), and a is `--teacher-weight`. A choice without a label has
the second term alone, with a = 1, and one that no teacher makes, since its tokenizer drops the
word, has the first term alone. Where each class is a yes or no, the divergence is the mean over
the classes. Each choice counts as much as in the plain loss; those without a label count 1.

`--teacher-states` w adds, for each row, w times what its choices count times the mean over its
tokens of 1 - cos(h, g), of the last hidden states h and g of student and teacher (Sanh et al. 2019,
arXiv:1910.01108).

The teachers have answered before training (`pipeline/teaching.py`): here their answers are read.
"""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lowcost_ft.config.values import split_list
from lowcost_ft.errors import UserError
from lowcost_ft.training.extensions.base import Extension, TrainingContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from lowcost_ft.config.run import RunConfig
    from lowcost_ft.data.batching import MicroBatch
    from lowcost_ft.data.features import Features
    from lowcost_ft.tasks.choices import Choices
    from lowcost_ft.training.extensions.base import Batch

__all__ = ["DEFAULT_STATES", "DEFAULT_TEMPERATURE", "DEFAULT_WEIGHT", "Distillation", "divergence"]

DEFAULT_WEIGHT = 0.5
"""Share of the teacher in the loss of a labelled choice."""
DEFAULT_TEMPERATURE = 2.0
"""What logits are divided by."""
DEFAULT_STATES = 1.0
"""Weight of the hidden states, where they can be compared."""

_LOGITS, _ASKED, _LABELLED = "distillation.logits", "distillation.asked", "distillation.labelled"
_STATES, _WEIGHTS = "distillation.states", "distillation.weights"


class Distillation(Extension):
    """Adds what the teacher says to the batch, and how far the student is from it to the loss."""

    name = "distillation"
    setting = "teacher"
    own_settings = (
        *("student_model", "student_layers"),
        *("teacher_weight", "teacher_temperature", "teacher_states"),
    )
    needs_choices = True
    numbers_choices = True

    def __init__(self, context: TrainingContext) -> None:
        from torch.utils.weak import WeakIdKeyDictionary

        settings = context.settings
        self._context = context
        self._task = context.task
        self._teaching = context.teaching
        self._weight = settings.teacher_weight or DEFAULT_WEIGHT
        self._temperature = settings.teacher_temperature or DEFAULT_TEMPERATURE
        # Where only lengths are known, as in a plan, the states are taken to be compared.
        compared = self._teaching.states is not None if self._teaching else _may_compare(settings)
        wanted = settings.teacher_states
        self._states_weight = (DEFAULT_STATES if wanted is None else wanted) * compared
        plain = getattr(context.model, "get_base_model", lambda: context.model)()
        self._backbone: Any = plain.base_model
        self._width = int(plain.config.get_text_config().hidden_size)
        self._caught: Any = WeakIdKeyDictionary()

    @classmethod
    def problems(cls, config: "RunConfig") -> list[str]:
        """Shares above 1, two students, and what changes the rows that the teacher has read."""
        if not cls.asked_for(config):
            return []
        problems = []
        if not split_list(config.teacher):
            problems.append("--teacher names no run: give the folder of a finished run")
        if config.teacher_weight is not None and config.teacher_weight > 1:
            problems.append(
                f"--teacher-weight {config.teacher_weight:g} is not a share: give a number up to 1"
            )
        if config.student_model is not None and config.student_layers is not None:
            problems.append(
                "--student-model and --student-layers both name the student: give one of them"
            )
        if config.augment is not None:
            problems.append(
                "--augment makes other texts in each epoch, and --teacher answers the same ones "
                "once: leave one of them out"
            )
        if config.contrastive is not None:
            problems.append(
                "--contrastive trains states and no answers, and --teacher gives answers: leave "
                "one of them out"
            )
        if config.cache_frozen_layers:
            problems.append(
                "--cache-frozen-layers: not with --teacher, whose rows are not those that it "
                "keeps; leave one of them out"
            )
        if config.teacher_states and len(split_list(config.teacher) or ()) > 1:
            problems.append(
                f"--teacher-states {config.teacher_states:g}: several teachers have no mean "
                "hidden state; give one teacher, or leave it out"
            )
        return problems

    @classmethod
    def of(cls, context: TrainingContext) -> "Distillation":
        """The extension of a run."""
        return cls(context)

    def epoch(self, features: "Features", number: int) -> "Features":
        """All texts that the teacher has read, with and without labels."""
        return self._teaching.features if self._teaching is not None else features

    def batch(self, batch: "Batch", rows: "MicroBatch", features: "Features") -> "Batch":
        """Adds what the teacher says of these rows."""
        import numpy as np
        import torch

        from lowcost_ft.frozen.stored_states import padded_index

        device = batch["input_ids"].device
        found = self._task.choice_numbers(features, rows)
        assert found is not None
        numbers, labelled = found
        shape = (len(numbers), len(self._task.labels))
        logits, states = np.zeros(shape, np.float32), None
        if self._teaching is not None:
            np.take(self._teaching.logits.flat.numpy(), np.maximum(numbers, 0), 0, out=logits)
        silent = np.isnan(logits).any(axis=1)
        logits[silent] = 0
        added = {
            _LOGITS: logits,
            _ASKED: ((numbers >= 0) & ~silent).astype(np.float32),
            _LABELLED: labelled,
        }
        if self._states_weight:
            index = padded_index(features.starts[rows], features.lengths[rows]).numpy()
            states = np.zeros((*index.shape, self._width), np.float16)
            if self._teaching is not None and self._teaching.states is not None:
                np.take(self._teaching.states.flat.numpy(), index, 0, out=states)
            added |= {_STATES: states, _WEIGHTS: features.weights[rows].astype(np.float32)}
        return batch | {name: torch.from_numpy(a).to(device) for name, a in added.items()}

    def forward(
        self, batch: "Batch", *, inner: "Callable[[Batch], torch.Tensor]"
    ) -> "torch.Tensor":
        """The model's outputs; notes the hidden state that they were made from."""
        if not self._states_weight:
            return inner(batch)
        with self._watched() as caught:
            outputs = inner(batch)
        self._caught[outputs] = caught[-1]
        return outputs

    @contextmanager
    def _watched(self) -> "Iterator[list[torch.Tensor]]":
        """Inside the block, the list gets the last hidden state of each forward pass."""
        caught: list[torch.Tensor] = []
        hook = self._backbone.register_forward_hook(
            lambda module, args, output: caught.append(output[0])
        )
        try:
            yield caught
        finally:
            hook.remove()

    def loss(
        self,
        outputs: "torch.Tensor",
        batch: "Batch",
        *,
        inner: "Callable[[torch.Tensor, Batch], torch.Tensor]",
        forward: "Callable[[Batch], torch.Tensor]",
    ) -> "torch.Tensor":
        """The loss of labels, answers and hidden states, `()`."""
        import torch

        choices = self._task.choices(outputs, batch)
        assert choices is not None
        labelled = batch[_LABELLED]
        shares = choices.shares()
        counts = self._weight * (labelled.to(outputs.dtype) if shares is None else shares)
        counts = batch[_ASKED] * torch.where(labelled, counts, 1.0)  # (choices,)
        apart = divergence(choices, batch[_LOGITS], self._temperature)
        total = (apart * counts).sum() * self._temperature**2
        if self._weight < 1:
            total = total + (1 - self._weight) * inner(outputs, batch)
        if self._states_weight:
            states = self._caught.pop(outputs).float()  # (B, T, H)
            cosine = torch.cosine_similarity(states, batch[_STATES].float(), dim=-1)
            real = batch["attention_mask"].to(cosine.dtype)
            means = ((1 - cosine) * real).sum(1) / real.sum(1)  # (B,)
            total = total + self._states_weight * (means * batch[_WEIGHTS]).sum()
        return total

    def numbers(self) -> dict[str, Any]:
        """What the teachers said."""
        return {"answers": self._teaching.digest if self._teaching is not None else ""}

    def load(self, tensors: "dict[str, torch.Tensor]", numbers: dict[str, Any]) -> None:
        """Goes on with the same answers.

        Raises:
            UserError: The teachers answer otherwise now.
        """
        if numbers != self.numbers():
            raise UserError(
                f"--teacher {self._context.settings.teacher}: the answers are not those that the "
                "run began with, on this machine or after a change of the teacher; go on where it "
                "began, or start a new run without --resume"
            )

    def record(self, epochs: int) -> dict[str, Any]:
        """The settings as they were settled, and how many texts were learned from."""
        found = {
            "teacher_weight": self._weight,
            "teacher_temperature": self._temperature,
            "teacher_states": self._states_weight,
        }
        if (teaching := self._teaching) is None:
            return found
        kept = teaching.logits.num_bytes + (teaching.states.num_bytes if teaching.states else 0)
        return found | {
            "teachers": teaching.num_teachers,
            "texts": len(teaching.examples),
            "unlabelled_texts": teaching.num_unlabelled,
            "answers_bytes": kept,
            "answers": teaching.digest,
        }


def _may_compare(settings: "RunConfig") -> bool:
    return len(split_list(settings.teacher) or ()) == 1 and settings.student_model is None


def divergence(choices: "Choices", teacher: "torch.Tensor", temperature: float) -> "torch.Tensor":
    """KL(q, p) of each choice, `(choices,)`, from the teacher's q to the student's p.

    The mean over the classes where each is a yes or no.

    Args:
        choices: The student's.
        teacher: The teacher's logits, `(choices, classes)`.
        temperature: What both logits are divided by.
    """
    from torch.nn import functional as F  # noqa: N812

    own, given = choices.logits / temperature, teacher / temperature
    if choices.yes_or_no:
        yes = given.sigmoid()
        gap = yes * (F.logsigmoid(given) - F.logsigmoid(own))
        return (gap + (1 - yes) * (F.logsigmoid(-given) - F.logsigmoid(-own))).mean(-1)
    q, p = given.log_softmax(-1), own.log_softmax(-1)
    return (q.exp() * (q - p)).sum(-1)
