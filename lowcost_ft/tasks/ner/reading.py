"""Rows of words and tags as examples, and what an example of a sentence holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.config.reading import ReadingOptions, reading_of
from lowcost_ft.data.rows import Row
from lowcost_ft.data.sample import sample_entity_messages
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.ner import labels as ner_labels
from lowcost_ft.tasks.ner.examples import NerExample, read_examples, text_example
from lowcost_ft.tasks.ner.tagging import entities_to_tags
from lowcost_ft.tasks.ner.word_notices import recorded_rule, word_notice

__all__ = ["NerReading"]


class NerReading(Task):
    """The part of the task that reads examples."""

    read = staticmethod(read_examples)
    finish = staticmethod(ner_labels.finish)
    classes = staticmethod(ner_labels.classes)
    use_notice = staticmethod(word_notice)

    @staticmethod
    def sample_rows() -> dict[str, list[dict[str, Any]]]:
        """The embedded sample, by split."""
        messages = sample_entity_messages()
        return {split: [_tagged(row) for row in rows] for split, rows in messages.items()}

    @staticmethod
    def blank(row: Row) -> NerExample:
        """The example of a blank line in a file of texts."""
        return text_example(row.values["text"], source=row.source)

    @staticmethod
    def is_blank(example: NerExample) -> bool:
        """Whether an example has no words."""
        return not example.words

    @staticmethod
    def read_texts(texts: Sequence[str], pairs: Sequence[str] | None) -> list[NerExample]:
        """Unlabelled examples of texts."""
        if pairs is not None:
            raise UserError("NER takes one text, not a pair")
        return [text_example(text) for text in texts]

    @classmethod
    def read_texts_for(
        cls, run: Mapping[str, Any], texts: Sequence[str], pairs: Sequence[str] | None
    ) -> list[NerExample]:
        """Unlabelled examples, cut into words by the rule of a run."""
        rule = recorded_rule(run)
        return [
            text_example(example.text or "", rule=rule) for example in cls.read_texts(texts, pairs)
        ]

    @staticmethod
    def input_of(example: NerExample) -> tuple[str, ...]:
        """What the model sees of an example."""
        return example.words

    @staticmethod
    def truth_of(example: NerExample) -> tuple[str, ...] | None:
        """What the model should say of an example."""
        return example.tags

    @staticmethod
    def reading_record(reading: ReadingOptions, examples: Sequence[NerExample]) -> dict[str, Any]:
        """What `run.json` says of how examples are read, and how their tags are chosen."""
        return {
            "word_splitting": reading.word_splitting,
            "file_words": "split",
            "tag_choice": "legal",
        }

    @staticmethod
    def recorded_reading(run: Mapping[str, Any]) -> ReadingOptions:
        """How the examples of a run were read: its words are cut by the rule that it names."""
        return replace(reading_of(run["config"]), word_splitting=recorded_rule(run))


def _tagged(row: Mapping[str, Any]) -> dict[str, Any]:
    """Words and IOB2 tags of a message."""
    spans = [(entity["start"], entity["end"], entity["label"]) for entity in row["entities"]]
    words, _, tags, _ = entities_to_tags(row["text"], spans)
    return {"tokens": list(words), "tags": list(tags)}
