"""The choices between classes that a task's loss compares, for extensions that change the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.data.features import IGNORED_LABEL, Features

if TYPE_CHECKING:
    import torch

__all__ = ["Choices", "Choosing"]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The choices of a micro-batch, each between the same classes.

    Attributes:
        logits: `(choices, classes)`.
        labels: The right class of each, `(choices,)`, `IGNORED_LABEL` if there is none. Or, if
            each class is a yes or no of its own, 1 or 0, `(choices, classes)`.
        weights: Weight of each class, `(classes,)`; of its yes, if it is a yes or no. None: 1.
    """

    logits: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor | None = None

    @property
    def yes_or_no(self) -> bool:
        """Whether each class is a yes or no of its own."""
        return self.labels.ndim == 2

    def cross_entropy(self, *, smoothing: float = 0.0) -> torch.Tensor:
        """The summed cross-entropy of the choices, `()`; of yes or no, each the mean over classes.

        Args:
            smoothing: Share of the probability that a target gives to all classes alike (Szegedy et
                al. 2016, arXiv:1512.00567), as PyTorch has it.
        """
        from torch.nn import functional as F  # noqa: N812

        if not self.yes_or_no:
            return F.cross_entropy(
                self.logits,
                self.labels,
                weight=self.weights,
                reduction="sum",
                label_smoothing=smoothing,
            )
        labels = self.labels
        if smoothing:
            labels = labels * (1 - smoothing) + smoothing / 2
        losses = F.binary_cross_entropy_with_logits(
            self.logits, labels, pos_weight=self.weights, reduction="none"
        )
        return losses.mean(-1).sum()

    def shares(self) -> torch.Tensor | None:
        """The weight of each choice in a sum, `(choices,)`; None if all are 1.

        It is the weight of the right class, and 0 if there is none.
        """
        if self.yes_or_no:
            return None
        known = self.labels != IGNORED_LABEL
        if self.weights is None:
            return known.to(self.logits.dtype)
        return self.weights[self.labels.clamp(min=0)] * known


class Choosing:
    """The part of a task that says which choices between classes it makes.

    Attributes:
        labels_whole_texts: Whether each row is one text with one class, or one set of classes.
        label_array: Name of the array of `featurize` that holds the right classes, or numbers; None
            where there is none.
        class_weights: Weight of each class in the loss, `(labels,)`; None: all one.
    """

    labels_whole_texts: ClassVar[bool] = False
    label_array: ClassVar[str | None] = None
    labels: list[str]
    class_weights: torch.Tensor | None = None

    def label_texts(self, given: str | None, examples: Sequence[Any]) -> list[Any]:
        """Examples whose text is what a label is called, where that says something; often none.

        Args:
            given: The words of labels (`--label-words`); None: their names.
            examples: The training data, which they are to resemble.
        """
        return []

    def usual_outputs(self, features: Features) -> np.ndarray | None:
        """The outputs that fit the training data best without any text, `(labels,)`.

        The bias of a new output layer begins with them. The first steps then learn what
        distinguishes texts, and not how frequent each class is, which would drive the states of all
        texts in one direction (the prior of Lin et al. 2017, arXiv:1708.02002, section 3.3).

        Args:
            features: The tokenized training split.

        Returns:
            For classes, logarithms of the weighted frequencies minus their mean; for yes or no,
            logarithms of the odds; for numbers, their mean. None for other tasks.
        """
        if self.label_array is None:
            return None
        right = features[self.label_array]
        if not self.has_choices:
            return np.array([right.mean()], np.float32)
        weights = np.ones(1)
        if self.class_weights is not None:
            weights = self.class_weights.numpy().clip(min=1e-6)  # A weight may be zero.
        if right.ndim == 2:
            chosen = right.sum(0)
            return np.log(weights * (chosen + 1) / (len(right) - chosen + 1)).astype(np.float32)
        if not np.issubdtype(right.dtype, np.integer):
            return None
        counts = np.bincount(right[right >= 0], minlength=len(self.labels))
        logs = np.log(weights * (counts + 1))  # One more of each: no class is impossible.
        return (logs - logs.mean()).astype(np.float32)

    def choices(self, outputs: Any, batch: dict[str, torch.Tensor]) -> Choices | None:
        """The choices whose cross-entropy is the loss; None if the loss is something else.

        Their classes must be the same in every micro-batch, so that a loss which is spread over all
        classes does not depend on how a step is cut.
        """
        return None

    def choice_numbers(
        self, features: Features, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The numbers of a micro-batch's choices in the split; None if they have no numbers.

        The numbers depend on the examples alone, not on the tokenizer, so that the answers of two
        models to one choice can be compared.

        Args:
            features: The tokenized split.
            rows: The rows of the micro-batch.

        Returns:
            Two arrays `(choices,)`, in the order of `choices`, with equally many for each row: the
            number, counted from 0 over all examples, -1 at places that are not choices; and
            whether the label is known.
        """
        return None

    def num_choices(self, features: Features) -> int:
        """How many choices a split has, those included that no token of it stands for."""
        found = self.choice_numbers(features, np.arange(len(features.lengths)))
        return 0 if found is None else int(found[0].max()) + 1

    def shown_choices(self, examples: Sequence[Any]) -> np.ndarray:
        """The number of the choice that answers for each text, or for each word of a file.

        Such a word may be several choices to the model, or none: then the number is -1.
        """
        return np.arange(len(examples))

    @property
    def has_choices(self) -> bool:
        """Whether `choices` returns some."""
        return False
