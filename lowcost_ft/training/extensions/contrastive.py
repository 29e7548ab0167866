"""Contrastive training: texts of one class move together, and a head is fitted at the end.

The idea is that of SetFit (Tunstall et al. 2022, arXiv:2209.11055): the cosine of two texts' states
should be 1 within a class and 0 between classes, by squared error. SetFit runs pairs of texts
through the model. Here, each text of a group is run once and compared with all others of the group:
with groups of 8, each text that is run gives 3.5 pairs instead of half a pair. The plan of the
epoch makes the groups, and a micro-batch holds whole groups, so that a step is cut between them.

With many classes few pairs are hard, so texts are compared with the mean of each class instead, as
the pretrained model sees it: a softmax over scaled cosines with these prototypes, which do not
change (Snell et al. 2017, arXiv:1703.05175; Zhai and Wu 2019, arXiv:1811.12649).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from lowcost_ft.config.methods import find_method
from lowcost_ft.errors import UserError
from lowcost_ft.training.extensions.base import Extension, TrainingContext

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch

    from lowcost_ft.config.run import RunConfig
    from lowcost_ft.data.batching import MicroBatch
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
_TOKENS = 1024
_CLASSES = "contrastive.classes"


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

        self._context = context
        self._size = context.settings.contrastive_group or DEFAULT_GROUP
        path = output_path(context.model, len(context.task.labels))
        assert path is not None
        self._layer = context.model.get_submodule(path)
        self._classes = _class_numbers(context)
        self._states: torch.Tensor | None = None
        self._groups = 0
        self._kind = context.settings.contrastive
        if self._kind == "auto":
            many = len(context.task.labels) > MOST_PAIRED_CLASSES
            self._kind = "prototypes" if many else "cosine"
        self._prototypes = self._class_means() if self._kind == "prototypes" else None

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
        from lowcost_ft.data.groups import deal_groups, grouped_features

        seed = [self._context.settings.seed, number, self._size]
        groups = deal_groups(self._classes, self._size, seed=seed)
        self._groups = len(groups)
        return grouped_features(features, groups, **{_CLASSES: self._classes[groups]})

    def forward(
        self, batch: "Batch", *, inner: "Callable[[Batch], torch.Tensor]"
    ) -> "torch.Tensor":
        """Keeps the mean state of each text, `(texts, hidden)`, for the loss."""
        from lowcost_ft.models.output_layer import reading

        with reading(self._layer) as read:
            outputs = inner(batch)
        self._states = _mean(read[-1], batch)
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
        from lowcost_ft.training.extensions.contrastive_losses import cosine_loss, prototype_loss

        assert self._states is not None
        states, self._states = self._states, None
        if self._prototypes is None:
            loss = cosine_loss(states, batch[_CLASSES])
        else:
            loss = prototype_loss(states, batch[_CLASSES], self._prototypes)
        # The head has no part in the loss, but needs a gradient, of zeros.
        return loss + 0 * outputs.sum()

    def finish(self, outputs: "Outputs") -> None:
        """Fits the head: a logistic regression on the mean states of all training texts."""
        from lowcost_ft.models.output_layer import fit_layer

        states = self._mean_states(outputs).double().cpu().numpy()
        fit_layer(self._layer, states, self._classes)

    def _mean_states(self, outputs: "Outputs") -> "torch.Tensor":
        """The mean state of each training text, `(texts, hidden)`, in float32."""
        import numpy as np
        import torch

        from lowcost_ft.data.batching import cut_step
        from lowcost_ft.models.output_layer import reading

        features = self._context.features
        rows = np.arange(len(features.lengths))
        device = self._layer.weight.device
        states = torch.zeros((len(rows), self._layer.in_features), device=device)
        for part in cut_step(rows, features.lengths, micro_batch_tokens=_TOKENS):
            with reading(self._layer) as read:
                _, batch = outputs(features, part)
            states[torch.from_numpy(part)] = _mean(read[-1], batch).float()
        return states

    def _class_means(self) -> "torch.Tensor":
        """The direction of the mean state of each class, `(classes, hidden)`, before training."""
        import torch

        weight, classes = self._layer.weight, len(self._context.task.labels)
        if weight.is_meta:
            return torch.empty((classes, self._layer.in_features), device="meta")
        states = torch.nn.functional.normalize(self._mean_states(self._outputs), dim=-1)
        means = torch.zeros((classes, states.shape[1]), device=states.device)
        means.index_add_(0, torch.from_numpy(self._classes).to(states.device), states)
        return torch.nn.functional.normalize(means, dim=-1)

    def _outputs(self, features: "Features", rows: "MicroBatch") -> "tuple[torch.Tensor, Batch]":
        """Runs the model as it was built, in evaluation mode and without gradients."""
        import torch

        from lowcost_ft.data.features import collate, model_inputs
        from lowcost_ft.models.loading import task_model

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

    def tensors(self) -> "dict[str, torch.Tensor]":
        """The prototypes, which a resumed run needs."""
        return {} if self._prototypes is None else {"prototypes": self._prototypes}

    def load(self, tensors: "dict[str, torch.Tensor]", numbers: dict[str, Any]) -> None:
        """Restores the prototypes of the beginning."""
        if self._prototypes is not None:
            self._prototypes.copy_(tensors["prototypes"])

    def record(self, epochs: int) -> dict[str, Any]:
        """How texts were compared."""
        return {"loss": self._kind, "texts": self._size, "groups": self._groups}


def _mean(states: "torch.Tensor", batch: "Batch") -> "torch.Tensor":
    """The mean over the tokens of each text, `(texts, hidden)`."""
    mask = batch["attention_mask"][:, :, None].to(states.dtype)
    return (states * mask).sum(1) / mask.sum(1)


def _class_numbers(context: TrainingContext) -> "np.ndarray":
    """The class of each training text as its number among the labels.

    Raises:
        UserError: A text has none or several, or all have the same.
    """
    import numpy as np

    assert context.examples is not None
    number = {label: place for place, label in enumerate(context.task.labels)}
    named = [context.task.classes(example) for example in context.examples]
    for example, names in zip(context.examples, named, strict=True):
        if len(names) != 1:
            raise UserError(
                f"--contrastive needs one label a text, and {example.source} has {len(names)}; "
                "leave it out, or train with recipes/lora_classification.py"
            )
    classes = np.array([number[next(iter(names))] for names in named], np.int64)
    if len(np.unique(classes)) < 2:
        raise UserError("--contrastive: all training texts have the same label; give others too")
    return classes
