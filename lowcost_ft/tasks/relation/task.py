"""Relation extraction: a pair of entities, marked in its text, gets one label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.config.reading import PairWindow
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import Array, Features
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.classification import labels as text_labels
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.classification.task import ClassificationTask, balanced_class_weights
from lowcost_ft.tasks.relation.answers import RelationAnswering
from lowcost_ft.tasks.relation.candidates import DEFAULT_WINDOW
from lowcost_ft.tasks.relation.checks import RelationChecking
from lowcost_ft.tasks.relation.editing import RelationEditing
from lowcost_ft.tasks.relation.explaining import RelationExplaining
from lowcost_ft.tasks.relation.flags import RelationFlags
from lowcost_ft.tasks.relation.marked_rows import TAG_FORM
from lowcost_ft.tasks.relation.markers import marked_texts
from lowcost_ft.tasks.relation.measuring import RelationMeasuring
from lowcost_ft.tasks.relation.negatives import negative_label
from lowcost_ft.tasks.relation.reading import RelationReading, relation_examples
from lowcost_ft.tasks.relation.serving import RelationServing
from lowcost_ft.tasks.relation.telling import RelationTelling
from lowcost_ft.tasks.relation.together import predict_together

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["RelationTask"]


class RelationTask(  # type: ignore[misc]  # Another example than its base class has.
    RelationReading,
    RelationTelling,
    RelationEditing,
    RelationExplaining,
    RelationMeasuring,
    RelationChecking,
    RelationServing,
    RelationAnswering,
    ClassificationTask,
):
    """Predicts one label a pair of entities; see `markers.py` for what the model sees.

    An example with a label has one pair. One without a label has as many as its entities form, a
    row each.

    Args:
        labels: The labels in the order of the logits.
        class_weights: Weight of each label in the loss; all one by default.
        negative: The label that means no relation; None: the one that looks like it.
        pair_window: Which entities of a text can be related.
    """

    name: ClassVar[str] = "relation"
    schema: ClassVar[dict[str, Array]] = {"labels": Array("row"), "pairs": Array("row")}
    judged_by_texts: ClassVar[bool] = False
    labels_whole_texts: ClassVar[bool] = False
    predict_flags: ClassVar[type | None] = RelationFlags
    input_flags: ClassVar[Mapping[str, str]] = {
        "ner": "load the NER run too, and call lowcost_ft.find_relations"
    }
    evaluate_flags: ClassVar[type | None] = None
    group_title = "text"

    def __init__(
        self,
        labels: list[str],
        *,
        class_weights: list[float] | None = None,
        negative: str | None = None,
        pair_window: PairWindow | None = None,
    ) -> None:
        super().__init__(labels, class_weights=class_weights)
        from lowcost_ft.scores.relations import has_directions  # Not needed to read.

        self.negative = negative_label(labels, negative)
        self.pair_window: PairWindow = DEFAULT_WINDOW if pair_window is None else pair_window
        # What papers report: SemEval's figure where labels have directions, else TACRED's.
        self.metric = "macro_f1" if has_directions(labels) else "micro_f1"

    # --- A task of a run

    @property
    def can_label(self) -> bool:
        """Never: which pairs of a text are asked about is part of what its labels say."""
        return False

    @classmethod
    def from_splits(cls, config: RunConfig, splits: Any, *, causal: bool) -> RelationTask:
        """The task of a run that begins."""
        weights = None
        if config.class_weights == "balanced":
            weights = balanced_class_weights(
                splits.train, splits.labels, problem_type=text_labels.SINGLE_LABEL
            )
        return cls(
            splits.labels,
            class_weights=weights,
            negative=config.negative_label,
            pair_window=config.pair_window,
        )

    @classmethod
    def from_record(cls, run: Mapping[str, Any]) -> RelationTask:
        """The task of a run that is over."""
        config = run["config"]
        return cls(
            run["labels"],
            negative=config["negative_label"],
            pair_window=config["pair_window"],
        )

    # --- Tokens and predictions

    @staticmethod
    def blank_arrays(rows: int, tokens: int) -> dict[str, np.ndarray]:
        """Arrays for rows whose content does not matter."""
        return {"labels": np.zeros(rows, np.int64), "pairs": np.arange(rows, dtype=np.int64)}

    def featurize(
        self,
        examples: Sequence[TextExample],
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
    ) -> Features:
        """Marks each pair in its text and tokenizes it, the pair always inside.

        Raises:
            UserError: A text has no pair.
        """
        given = relation_examples(examples)
        if bare := [example for example in given if not example.pairs]:
            more = f" (and {len(bare) - 1:,} more)" if len(bare) > 1 else ""
            raise UserError(
                f"{bare[0].source}{more}: the text marks no pair of entities; write {TAG_FORM}, or "
                f"let an NER run find them (lowcost-ft predict --ner RUN)"
            )
        owners = [n for n, example in enumerate(given) for _ in example.pairs]
        pairs = [pair for example in given for pair in example.pairs]
        texts, cut = marked_texts(
            [given[owner].text for owner in owners], pairs, tokenizer, max_length=max_length
        )
        marked = [
            TextExample(text=text, label=given[owner].label, source=given[owner].source)
            for text, owner in zip(texts, owners, strict=True)
        ]
        features = super().featurize(marked, tokenizer, max_length=max_length)
        lost = {owner for owner, was_cut in zip(owners, cut, strict=True) if was_cut}
        return replace(
            features,
            examples=np.array(owners, np.int64),
            num_examples=len(given),
            arrays=features.arrays | {"pairs": np.arange(len(pairs), dtype=np.int64)},
            truncated=len(lost),
        )

    def new_predictions(self, features: Features) -> Predictions:
        """One row of scores a pair."""
        return {"scores": np.zeros((len(features.lengths), len(self.labels)), np.float32)}

    def store(
        self,
        predictions: Predictions,
        decoded: dict[str, np.ndarray],
        batch: dict[str, torch.Tensor],
        examples: np.ndarray,
    ) -> None:
        """Writes the scores of a micro-batch's pairs."""
        predictions["scores"][batch["pairs"].numpy()] = decoded["scores"]

    @staticmethod
    def out_of_scope_texts() -> tuple[str, ...]:
        """None: a text without a marked pair is no input of this task."""
        return ()

    # --- Entities from another run

    @classmethod
    def flag_examples(cls, flags: Any, *, text: str | None, json: bool) -> None:
        """No flag gives an input; see `Task.flag_examples`."""
        # Other commands than predict bring neither of them.
        if getattr(flags, "pair_window", None) is not None and flags.ner is None:
            raise UserError("--pair-window needs --ner")

    @classmethod
    def keeps_adapter(cls, flags: Any) -> bool:
        """With `--ner`, so that both runs can hold one base model."""
        return flags.ner is not None

    def use(self, flags: Any) -> list[str]:
        """Takes the window; see `Task.use`."""
        if getattr(flags, "pair_window", None) is not None:
            self.pair_window = flags.pair_window
        return []

    def predict_answers(
        self,
        predictor: Any,
        examples: Sequence[Any],
        flags: Any,
        *,
        open_run: Callable[[str], Any],
    ) -> list[dict[str, Any]]:
        """With `--ner`, first the entities and then their relations; see `Task.predict_answers`."""
        if flags.ner is None:
            answers: list[dict[str, Any]] = predictor.predict(examples)
            return answers
        return predict_together(predictor, open_run(flags.ner), relation_examples(examples))
