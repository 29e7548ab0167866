"""The texts that contrastive training fits linear layers to, and their states."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lowcost_ft.data.batching import MicroBatch, cut_step
from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.data.groups import deal_folds
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.cache_key import digest
from lowcost_ft.models.loading import task_model
from lowcost_ft.models.output_layer import mean_states, reading

if TYPE_CHECKING:
    from lowcost_ft.tasks.base import Task
    from lowcost_ft.training.extensions.base import Batch, Outputs, TrainingContext

__all__ = ["FittedTexts"]

_TOKENS = 1024


class FittedTexts:
    """The training texts and, after them, what labels are called.

    With one or two texts a class, its name is worth much (docs/few-labels.md).

    Attributes:
        training: The number of each training text's class, `(training,)`.
        classes: That of each text, `(texts,)`.
    """

    _silent = ""
    """Why no label is a text, where the tokenizer is the reason."""

    def __init__(self, context: TrainingContext, layer: torch.nn.Linear) -> None:
        """
        Args:
            context: The run, with its examples.
            layer: The output layer, which reads the states.

        Raises:
            UserError: A text has no label or several, all have the same, or words of labels that
                the user gave cannot be texts.
        """
        self._context, self._layer = context, layer
        self._parts = [context.features]
        assert context.examples is not None
        self.training = self.classes = _class_numbers(context.task, context.examples)
        if len(set(self.training)) < 2:
            raise UserError(
                "--contrastive: all training texts have the same label; give others too"
            )
        self._names = self._label_texts()
        if self._names is not None:
            examples, features = self._names
            self.classes = np.concatenate([self.training, _class_numbers(context.task, examples)])
            self._parts.append(features)

    def _label_texts(self) -> tuple[list[Any], Features] | None:
        """The labels that are texts, as examples, and their tokens.

        Raises:
            UserError: The tokenizer does not tell the words of labels apart that the user gave.
        """
        context, tokenizer = self._context, self._context.tokenizer
        given, length = context.settings.label_words, context.settings.max_length
        examples = context.task.label_texts(given, context.examples or ())
        if not examples or tokenizer is None:
            return None
        features = context.task.featurize(examples, tokenizer, max_length=length)
        tokens = [tuple(features.input_ids[a:b]) for a, b in pairwise(map(int, features.starts))]
        why = ""
        if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in features.input_ids:
            why = "the tokenizer does not know all of them"
        elif features.truncated:
            why = f"some are longer than --max-length {length}"
        elif len(set(tokens)) < len(tokens):
            why = "the tokenizer finds the same tokens in two of them"
        if why and given is not None:
            raise UserError(f"--label-words: {why}; give other words, or none")
        self._silent = why
        return None if why else (examples, features)

    def notes(self) -> list[str]:
        """What to tell the user of the labels."""
        if self._silent:
            return [
                f"the names of the labels do not count as texts of their classes: {self._silent} "
                "(--label-words gives other words)"
            ]
        if self.labels:
            return [
                f"the names of {self.labels} labels count as texts of their classes when the head "
                "is fitted (--label-words gives other words, --label-words none leaves them out)"
            ]
        if self._context.settings.label_words is None:
            return [
                "the names of the labels do not count as texts of their classes, since a name says "
                "nothing (--label-words gives words), or since the texts are pairs"
            ]
        return []

    def digest(self) -> str:
        """Tells the labels that are texts, and their tokens, apart from others."""
        if self._names is None:
            return ""
        arrays = {"ids": self._names[1].input_ids, "starts": self._names[1].starts}
        return digest((arrays | {"classes": self.classes}).items())

    @property
    def labels(self) -> int:
        """How many labels are texts."""
        return len(self.classes) - len(self.training)

    def folds(self, seed: int) -> np.ndarray:
        """The fold of each text, `(texts,)`, -1 for what every head has seen, as labels are."""
        context = self._context
        lines = context.features
        found: dict[bytes, int] = {}
        texts = [
            found.setdefault(lines.input_ids[a:b].tobytes(), len(found))
            for a, b in pairwise(map(int, lines.starts))
        ]
        known = self.classes[len(self.training) :]
        folds = deal_folds(self.training, np.array(texts), seed=seed, known=set(known.tolist()))
        return np.concatenate([folds, np.full(len(known), -1)])

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
