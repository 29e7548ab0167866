"""Contrastive training: texts of one class move together, and a head is fitted at the end.

The idea is that of SetFit (Tunstall et al. 2022, arXiv:2209.11055): the cosine of two texts' states
should be 1 within a class and 0 between classes, by squared error. SetFit runs pairs of texts
through the model. Here, each text of a group is run once and compared with all others of the group:
with groups of 8, each text that is run gives 3.5 pairs instead of half a pair. The plan of the
epoch makes the groups, and a micro-batch holds whole groups, so that a step is cut between them.

With many classes few pairs are hard, so texts are compared with what the pretrained model knows of
each class (`class_references.py`): linear heads, or the mean of each class. These do not change.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from lowcost_ft.config.methods import find_method
from lowcost_ft.errors import UserError
from lowcost_ft.training.extensions.base import Extension, TrainingContext

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from lowcost_ft.config.run import RunConfig
    from lowcost_ft.data.features import Features
    from lowcost_ft.training.extensions.base import Batch, Outputs

__all__ = ["DEFAULT_GROUP", "Contrastive"]

DEFAULT_GROUP = 8
"""Default number of texts in a group."""
MOST_PAIRED_CLASSES = 8
"""Most classes with which `auto` compares texts with each other."""
CONTRASTED_TEXTS = 192
"""Texts that a run on small data compares in all (docs/few-labels.md)."""
LEAST_EPOCHS, MOST_EPOCHS = 2, 12
MANY_TEXTS = 96
"""From this many texts on, the learning rate is not doubled (docs/few-labels.md)."""
_CLASSES = "contrastive.classes"
_FOLDS = "contrastive.folds"


class Contrastive(Extension):
    """Makes groups of texts, computes their loss, and fits the head."""

    name = "contrastive"
    setting = "contrastive"
    needs_settings: ClassVar[Mapping[str, Any]] = {"pooling": "mean"}
    own_settings = ("contrastive_group",)
    needs_choices = True
    fits_head = True

    def __init__(self, context: TrainingContext) -> None:
        from lowcost_ft.models.existing_head import output_path
        from lowcost_ft.models.trained_entry import has_dropout
        from lowcost_ft.training.extensions.fitted_texts import FittedTexts

        self._context = context
        self._size = context.settings.contrastive_group or DEFAULT_GROUP
        path = output_path(context.model, len(context.task.labels))
        assert path is not None
        self._layer = context.model.get_submodule(path)
        self._texts = FittedTexts(context, self._layer)
        # A GPU is faster with all of them at once; and masks of dropout know whole micro-batches.
        alone = context.device == "cpu" and not context.sharded
        self._apart = alone and not has_dropout(context.model)
        self._states: torch.Tensor | None = None
        self._groups = 0
        self._kind = context.settings.contrastive
        if self._kind == "auto":
            many = len(context.task.labels) > MOST_PAIRED_CLASSES
            self._kind = "heads" if many else "cosine"
        self._folds = self._texts.folds(context.settings.seed)
        self._references = self._class_references()

    @classmethod
    def usual_epochs(cls, examples: int) -> int:
        """Enough epochs to compare `CONTRASTED_TEXTS` texts."""
        return min(max(LEAST_EPOCHS, -(-CONTRASTED_TEXTS // examples)), MOST_EPOCHS)

    @classmethod
    def rate_factor(cls, examples: int) -> float:
        """Twice the rate, since there are few steps; many texts are compared more often."""
        return 1.0 if examples >= MANY_TEXTS else 2.0

    @classmethod
    def problems(cls, config: "RunConfig") -> list[str]:
        """Refuses another loss, kept states of texts, and settings that leave nothing to train."""
        if not cls.asked_for(config):
            return []
        problems = []
        if config.contrastive_group is not None and config.contrastive_group % 2:
            problems.append(
                f"--contrastive-group {config.contrastive_group} is odd: a group has as many texts "
                "of each of its classes; give an even number"
            )
        names = ("label_smoothing", "focal_gamma", "consistency", "adversarial", "class_weights")
        others = [f"--{name.replace('_', '-')}" for name in names if getattr(config, name)]
        if others:
            problems.append(
                f"{', '.join(others)}: for the loss of the head, which --contrastive fits at the "
                "end; leave one of them out"
            )
        if config.head_start == "fitted":
            problems.append(
                "--head-start fitted: --contrastive fits the head at the end; leave one of them out"
            )
        if config.max_steps == 0:
            problems.append(
                "--max-steps 0 trains nothing, and --contrastive makes a head at the end; leave "
                "one of them out"
            )
        if config.cache_frozen_layers:
            problems.append(
                "--cache-frozen-layers keeps the states of single texts, and --contrastive runs "
                "groups of them; leave one of them out"
            )
        entry = None if config.adapter_config else find_method(config.method)
        if config.method == "head" or (entry is not None and entry.virtual_tokens):
            problems.append(
                f"--method {config.method} leaves the layers as they are, which --contrastive "
                "trains: take another method"
            )
        return problems

    @classmethod
    def of(cls, context: TrainingContext) -> "Contrastive":
        """Makes the extension of a run.

        Raises:
            UserError: Texts have several labels, all have the same one, or there are no texts.
        """
        if context.examples is None:
            raise UserError(
                "--contrastive: what a step holds depends on the texts, which a plan without data "
                "does not have; a run says what it will need before it trains"
            )
        return cls(context)

    def epoch(self, features: "Features", number: int) -> "Features":
        """Makes the groups of an epoch."""
        from dataclasses import replace

        from lowcost_ft.data.groups import deal_groups, grouped_features

        seed = [self._context.settings.seed, number, self._size]
        classes = self._texts.training
        groups = deal_groups(classes, self._size, seed=seed)
        self._groups = len(groups)
        arrays = {_CLASSES: classes[groups], _FOLDS: self._folds[groups]}
        return replace(grouped_features(features, groups, **arrays), apart=self._apart)

    def forward(
        self, batch: "Batch", *, inner: "Callable[[Batch], torch.Tensor]"
    ) -> "torch.Tensor":
        """Keeps the mean state of each text, `(texts, hidden)`, for the loss."""
        from lowcost_ft.models.output_layer import mean_states, reading

        with reading(self._layer) as read:
            outputs = inner(batch)
        self._states = mean_states(read, batch["attention_mask"], apart=self._apart)
        return outputs

    def loss(
        self,
        outputs: "torch.Tensor",
        batch: "Batch",
        *,
        inner: "Callable[[torch.Tensor, Batch], torch.Tensor]",
        forward: "Callable[[Batch], torch.Tensor]",
    ) -> "torch.Tensor":
        """The sum of the losses of the groups, `()`."""
        from lowcost_ft.training.extensions.contrastive_losses import (
            cosine_loss,
            head_loss,
            prototype_loss,
        )

        assert self._states is not None
        states, self._states = self._states, None
        classes, references = batch[_CLASSES], self._references
        if references is None:
            loss = cosine_loss(states, classes)
        elif self._kind == "prototypes":
            loss = prototype_loss(states, classes, references)
        else:
            loss = head_loss(states, classes, references, batch[_FOLDS])
        # The head has no part in the loss, but needs a gradient, of zeros.
        return loss + 0 * outputs.sum()

    def finish(self, outputs: "Outputs") -> None:
        """Fits the head: a logistic regression on the mean states of all texts."""
        from lowcost_ft.models.output_layer import fit_layer

        states = self._texts.states(outputs).double().cpu().numpy()
        fit_layer(self._layer, states, self._texts.classes)

    def _class_references(self) -> "torch.Tensor | None":
        """What texts are compared with, of the model before training; None: with each other."""
        if self._kind == "cosine":
            return None

        from lowcost_ft.training.extensions.class_references import class_means, held_out_heads

        texts, count = self._texts, len(self._context.task.labels)
        if self._kind == "prototypes":
            return class_means(texts.states(), texts.classes, count)
        return held_out_heads(texts.states(), texts.classes, self._folds, count)

    def tensors(self) -> "dict[str, torch.Tensor]":
        """What texts are compared with, which a resumed run needs."""
        return {} if self._references is None else {str(self._kind): self._references}

    def numbers(self) -> dict[str, Any]:
        """Which labels are texts."""
        return {"label_texts": self._texts.digest()}

    def load(self, tensors: "dict[str, torch.Tensor]", numbers: dict[str, Any]) -> None:
        """Restores what texts are compared with.

        Raises:
            UserError: The checkpoint has something else.
        """
        if numbers.get("label_texts") != self._texts.digest():
            raise UserError(
                "--label-words: the words of labels are others than when this run began, or an "
                "earlier version began it; train anew"
            )
        if self._references is not None:
            self._references.copy_(tensors[str(self._kind)])

    def notes(self) -> list[str]:
        """Which labels are texts, and which texts no head was fitted without."""
        notes = self._texts.notes()
        seen = int((self._folds[: len(self._texts.training)] < 0).sum())
        if self._kind == "heads" and seen:
            notes.append(
                f"{seen} of the texts are the only ones of their class, so the heads have seen them"
            )
        return notes

    def record(self, epochs: int) -> dict[str, Any]:
        """How texts were compared."""
        record = {"loss": self._kind, "texts": self._size, "groups": self._groups}
        return record | {"label_texts": self._texts.labels}
