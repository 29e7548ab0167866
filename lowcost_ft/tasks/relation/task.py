"""Relation extraction: a pair of entities, marked in its text, gets one label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.config.reading import PairWindow, ReadingOptions
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import Array, Features
from lowcost_ft.data.rows import Row
from lowcost_ft.data.sample_relations import sample_relations
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.classification import labels as text_labels
from lowcost_ft.tasks.classification.examples import TextExample, label_name
from lowcost_ft.tasks.classification.task import ClassificationTask, balanced_class_weights
from lowcost_ft.tasks.relation import reading as relation_reading
from lowcost_ft.tasks.relation.candidates import DEFAULT_WINDOW
from lowcost_ft.tasks.relation.checks import RelationChecking
from lowcost_ft.tasks.relation.editing import RelationEditing
from lowcost_ft.tasks.relation.examples import Mention, RelationExample
from lowcost_ft.tasks.relation.flags import RelationFlags
from lowcost_ft.tasks.relation.marked_rows import TAG_FORM
from lowcost_ft.tasks.relation.markers import marked_texts
from lowcost_ft.tasks.relation.negatives import NO_RELATION, draw_negatives, negative_label
from lowcost_ft.tasks.relation.telling import RelationTelling, types_notice
from lowcost_ft.tasks.relation.together import entities_of, predict_together

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["RelationTask"]


class RelationTask(  # type: ignore[misc]  # Another example than its base class has.
    RelationTelling, RelationEditing, RelationChecking, ClassificationTask
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
    predict_flags: ClassVar[type | None] = RelationFlags
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

    # --- Examples

    @classmethod
    def read(  # type: ignore[override]
        cls,
        rows: Sequence[Row],
        reading: ReadingOptions,
        *,
        problems: list[str],
        notices: list[str],
        labelled: bool = True,
    ) -> list[RelationExample]:
        """Reads one split's rows; see `reading.read_examples`."""
        return relation_reading.read_examples(
            rows, reading, problems=problems, notices=notices, labelled=labelled
        )

    @classmethod
    def finish(  # type: ignore[override]
        cls,
        splits: Mapping[str, list[RelationExample]],
        *,
        reading: ReadingOptions,
        labels: Sequence[str] | None = None,
        problems: list[str],
        notices: list[str],
    ) -> tuple[dict[str, list[RelationExample]], list[str], str | None]:
        """Checks the labels as text classification does; draws the negatives to train on."""
        found: dict[str, Any] = {"problems": problems, "notices": notices}
        splits = _with_one_negative(splits, labels, reading.negative_label)
        as_classes = replace(reading, problem_type="single_label_classification")
        classes: dict[str, Any] = dict(splits)
        finished, names, _ = text_labels.finish(classes, reading=as_classes, labels=labels, **found)
        converted = {split: _relation_examples(examples) for split, examples in finished.items()}
        if problems or not names:
            return converted, names, None
        negative = negative_label(names, reading.negative_label)
        if labels is None:
            if reading.negative_label is not None and negative not in names:
                problems.append(
                    f"--negative-label {negative} is not a label of the training data: "
                    f"{', '.join(names)}"
                )
            elif negative is None:
                notices.append(
                    "no label means that there is no relation (--negative-label names one): the "
                    "model gives every pair a relation"
                )
            elif reading.negative_label is None:
                notices.append(
                    f"the label {negative} means that there is no relation, and is left out of "
                    f"F1 (--negative-label overrides)"
                )
        if labels is None and converted.get("train"):
            converted["train"] = draw_negatives(converted["train"], reading.negative_ratio, notices)
        return converted, names, None

    @staticmethod
    def sample_rows() -> dict[str, list[dict[str, Any]]]:
        """The embedded sample, by split."""
        return sample_relations()

    @classmethod
    def sample_reading(cls, reading: ReadingOptions) -> ReadingOptions:
        """The sample needs nothing told."""
        return reading

    @staticmethod
    def reading_record(reading: ReadingOptions, examples: Sequence[TextExample]) -> dict[str, Any]:
        """The types of heads and tails in training, which the model then needs in use, too."""
        pairs = [pair for e in examples if isinstance(e, RelationExample) for pair in e.pairs]
        return {
            "word_splitting": None,
            "entity_types": {
                name: [  # The most frequent first, which examples then show.
                    kind
                    for kind, _ in Counter(pair[place].type for pair in pairs).most_common()
                    if kind is not None
                ]
                for place, name in enumerate(("head", "tail"))
            },
        }

    @staticmethod
    def use_notice(run: Mapping[str, Any], examples: Sequence[TextExample]) -> str | None:
        """Says that entities have no type, where the model learned with types."""
        return types_notice(run, examples)

    @staticmethod
    def blank(row: Row) -> RelationExample:
        """The example of a blank line in a file of texts."""
        return RelationExample(text=row.values["text"], label=None, source=row.source)

    @staticmethod
    def is_blank(example: TextExample) -> bool:
        """Whether there is no text, or are no two entities near enough to be related."""
        assert isinstance(example, RelationExample)
        return not example.text.strip() or (example.entities is not None and not example.pairs)

    @staticmethod
    def read_texts(texts: Sequence[str], pairs: Sequence[str] | None) -> list[TextExample]:
        """Unlabelled examples of texts, in which `<e1>..</e1>` and `<e2>..</e2>` mark a pair."""
        if pairs is not None:
            raise UserError("relation extraction takes one text, not two: leave the second one out")
        problems: list[str] = []
        rows = [Row({"text": text}, f"text {number}") for number, text in enumerate(texts, 1)]
        filled = [row for row in rows if str(row.values["text"]).strip()]
        read = iter(
            relation_reading.read_examples(
                filled,
                ReadingOptions(text_column="text"),
                problems=problems,
                notices=[],
                labelled=False,
            )
        )
        if problems:
            raise UserError(problems)
        return [
            next(read) if str(row.values["text"]).strip() else RelationTask.blank(row)
            for row in rows
        ]

    @staticmethod
    def input_of(example: TextExample) -> Hashable:  # type: ignore[override]
        """The text and the pairs in it."""
        assert isinstance(example, RelationExample)
        return (
            example.text,
            tuple((m.start, m.end, m.type) for pair in example.pairs for m in pair),
        )

    @classmethod
    def group_of(cls, example: TextExample) -> Hashable:
        """The text: its pairs are not parted."""
        return example.text

    @staticmethod
    def every_class(problem_type: str | None) -> bool:
        """Each label gets a place in a validation split that is cut."""
        return True

    # --- A task of a run

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
        given = _relation_examples(examples)
        if bare := [example for example in given if not example.pairs]:
            more = f" (and {len(bare) - 1:,} more)" if len(bare) > 1 else ""
            raise UserError(
                f"{bare[0].source}{more}: the text marks no pair of entities; write {TAG_FORM}, or "
                f"give --ner RUN, an NER run that finds them"
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

    def present(
        self, examples: Sequence[TextExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """What was found in each text.

        `{"text", "head", "tail", "label", "score"}` where the input names the pair; else
        `{"text", "entities", "relations"}`, whose relations name the ids of entities.
        """
        answers = []
        first = 0
        for example in _relation_examples(examples):
            scores = predictions["scores"][first : first + len(example.pairs)]
            first += len(example.pairs)
            best = scores.argmax(axis=1)
            labels = [self.labels[index] for index in best]
            sure = [float(row[index]) for row, index in zip(scores, best, strict=True)]
            if example.entities is None:
                head, tail = (_place(example.text, mention) for mention in example.pairs[0])
                answers.append(
                    {
                        "text": example.text,
                        "head": head,
                        "tail": tail,
                        "label": labels[0],
                        "score": sure[0],
                    }
                )
                continue
            answers.append(
                {
                    "text": example.text,
                    "entities": entities_of(example),
                    "relations": [
                        {"head": pair[0].id, "tail": pair[1].id, "label": label, "score": score}
                        for pair, label, score in zip(example.pairs, labels, sure, strict=True)
                        if label != self.negative
                    ],
                }
            )
        return answers

    def blank_answer(self, example: TextExample) -> dict[str, Any]:
        """No entity, or none that could be related."""
        assert isinstance(example, RelationExample)
        return {"text": example.text, "entities": entities_of(example), "relations": []}

    def changed(
        self, examples: Sequence[TextExample], before: Predictions, after: Predictions
    ) -> np.ndarray:
        """Whether the label of each pair differs."""
        changed: np.ndarray = before["scores"].argmax(1) != after["scores"].argmax(1)
        return changed

    def score(
        self, examples: Sequence[TextExample], predictions: Predictions, *, seed: int = 0
    ) -> dict[str, Any]:
        """Micro and macro F1 without the negative label; see `score_relations`."""
        from lowcost_ft.scores.relations import score_relations  # Not needed to predict.

        answers = self.present(examples, predictions)
        return score_relations(
            [answer["label"] for answer in answers],
            [str(example.label) for example in examples],
            negative=self.negative or NO_RELATION,
            seed=seed,
        )

    # --- Entities from another run

    @classmethod
    def flag_examples(cls, flags: Any, *, text: str | None, json: bool) -> None:
        """No flag gives an input; see `Task.flag_examples`."""
        if flags.pair_window is not None and flags.ner is None:
            raise UserError("--pair-window needs --ner")

    @classmethod
    def keeps_adapter(cls, flags: Any) -> bool:
        """With `--ner`, so that both runs can hold one base model."""
        return flags is not None and flags.ner is not None

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
        return predict_together(predictor, open_run(flags.ner), _relation_examples(examples))


def _relation_examples(examples: Sequence[Any]) -> list[RelationExample]:
    return [example for example in examples if isinstance(example, RelationExample)]


def _with_one_negative(
    splits: Mapping[str, list[RelationExample]], labels: Sequence[str] | None, given: str | None
) -> dict[str, list[RelationExample]]:
    """Gives the pairs that were made as negatives the label that the data or the model has."""
    known = labels
    if known is None:
        named = [example.label for example in splits.get("train", ()) if not example.made]
        known = sorted({label_name(label) for label in named if isinstance(label, str | int)})
    label = negative_label(known, given) or NO_RELATION
    return {
        split: [replace(e, label=label) if e.made else e for e in examples]
        for split, examples in splits.items()
    }


def _place(text: str, mention: Mention) -> dict[str, Any]:
    kind = {} if mention.type is None else {"type": mention.type}
    return {
        "start": mention.start,
        "end": mention.end,
        "text": text[mention.start : mention.end],
        **kind,
    }
