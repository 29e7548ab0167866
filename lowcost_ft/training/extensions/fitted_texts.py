"""The texts that contrastive training fits linear layers to, and their states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lowcost_ft.data.batching import MicroBatch, cut_step
from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import task_model
from lowcost_ft.models.output_layer import mean_states, reading

if TYPE_CHECKING:
    from lowcost_ft.tasks.base import Task
    from lowcost_ft.training.extensions.base import Batch, Outputs, TrainingContext

__all__ = ["FittedTexts"]

_TOKENS = 1024


class FittedTexts:
    """The training texts and, after them, what labels are called.

    With one or two texts a class, its name says more than these (docs/few-labels.md).

    Attributes:
        training: The number of each training text's class, `(training,)`.
        classes: That of each text, `(texts,)`.
    """

    def __init__(self, context: TrainingContext, layer: torch.nn.Linear) -> None:
        """
        Args:
            context: The run, with its examples.
            layer: The output layer, which reads the states.

        Raises:
            UserError: A text has no label or several, or all have the same.
        """
        self._context, self._layer = context, layer
        self._parts = [context.features]
        assert context.examples is not None
        self.training = self.classes = _class_numbers(context.task, context.examples)
        if len(set(self.training)) < 2:
            raise UserError(
                "--contrastive: all training texts have the same label; give others too"
            )
        settings, tokenizer = context.settings, context.tokenizer
        names = context.task.label_texts(settings.label_words, context.examples)
        if names and tokenizer is not None:
            self.classes = np.concatenate([self.training, _class_numbers(context.task, names)])
            self._parts.append(
                context.task.featurize(names, tokenizer, max_length=settings.max_length)
            )

    @property
    def labels(self) -> int:
        """How many labels are texts."""
        return len(self.classes) - len(self.training)

    def states(self, outputs: Outputs | None = None) -> torch.Tensor:
        """Computes the mean state of each text, `(texts, hidden)`, in float32.

        Args:
            outputs: Runs the model on some rows; None: as it was built. Without numbers, in a
                simulated step, only the shape counts.
        """
        weight = self._layer.weight
        states = weight.new_zeros((len(self.classes), weight.shape[1]), dtype=torch.float32)
        if weight.is_meta:
            return states
        first = 0
        for features in self._parts:
            rows = np.arange(len(features.lengths))
            for part in cut_step(rows, features.lengths, micro_batch_tokens=_TOKENS):
                with reading(self._layer) as read:
                    _, batch = (outputs or self._as_built)(features, part)
                found = mean_states(read, batch["attention_mask"])
                states[torch.from_numpy(first + part)] = found.float()
            first += len(rows)
        return states

    def _as_built(self, features: Features, rows: MicroBatch) -> tuple[torch.Tensor, Batch]:
        """Runs the model in evaluation mode and without gradients."""
        model, device = task_model(self._context.model), self._layer.weight.device
        batch = {
            name: value.to(device)
            for name, value in collate(
                features, rows, pad_token_id=self._context.pad_token_id
            ).items()
        }
        training = model.training
        model.eval()
        # Frozen weights may be held in half precision.
        dtype = next(model.parameters()).dtype
        half = torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
        with torch.no_grad(), half:
            outputs = self._context.task.forward(model, model_inputs(batch, features))
        model.train(training)
        return outputs, batch


def _class_numbers(task: Task, examples: Sequence[Any]) -> np.ndarray:
    """The class of each text as its number among the labels, `(texts,)`.

    Raises:
        UserError: A text has none or several.
    """
    number = {label: place for place, label in enumerate(task.labels)}
    named = [task.classes(example) for example in examples]
    for example, names in zip(examples, named, strict=True):
        if len(names) != 1:
            raise UserError(
                f"--contrastive needs one label a text, and {example.source} has {len(names)}; "
                "leave it out, or train with recipes/lora_classification.py"
            )
    return np.array([number[next(iter(names))] for names in named], np.int64)
