"""Rows with entities and relations as examples, and what an example of a pair holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.rows import Row
from lowcost_ft.data.sample_relations import sample_relations
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.classification import labels as text_labels
from lowcost_ft.tasks.classification.examples import TextExample, label_name
from lowcost_ft.tasks.relation.examples import RelationExample
from lowcost_ft.tasks.relation.negatives import NO_RELATION, draw_negatives, negative_label
from lowcost_ft.tasks.relation.row_forms import read_examples
from lowcost_ft.tasks.relation.telling import types_notice

__all__ = ["RelationReading", "relation_examples"]


class RelationReading(Task):
    """The part of the task that reads examples."""

    asks_about_entities = True
    read = staticmethod(read_examples)
    use_notice = staticmethod(types_notice)

    @classmethod
    def finish(
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
        converted = {split: relation_examples(examples) for split, examples in finished.items()}
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
            made = any(example.made for example in converted["train"])
            if not made and reading.negative_ratio != ReadingOptions().negative_ratio:
                notices.append(
                    f"--negative-ratio {reading.negative_ratio} has no effect: the training rows "
                    "name their pairs, and no other was added as one without a relation"
                )
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
            read_examples(
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
            next(read) if str(row.values["text"]).strip() else RelationReading.blank(row)
            for row in rows
        ]

    @staticmethod
    def input_of(example: TextExample) -> Hashable:
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


def relation_examples(examples: Sequence[Any]) -> list[RelationExample]:
    """The examples that are pairs of entities: all, which type checkers cannot know."""
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
