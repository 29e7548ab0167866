"""The tasks. Each is one module of this folder, imported when it is used."""

import importlib
from typing import TYPE_CHECKING

from lowcost_ft.config.generation import GENERATION_FIELDS
from lowcost_ft.config.tasks import TaskSettings, register_task, task_settings

if TYPE_CHECKING:
    from lowcost_ft.tasks.base import Task

__all__ = ["task_class"]

register_task(
    TaskSettings(
        name="ner",
        title="NER",
        module="lowcost_ft.tasks.ner",
        fields=frozenset(
            {
                *("text_column", "tokens_column", "tags_column", "window_overlap"),
                *("entity_offsets", "word_splitting"),
            }
        ),
        averages=True,
    )
)
register_task(
    TaskSettings(
        name="classification",
        title="text classification",
        module="lowcost_ft.tasks.classification",
        fields=frozenset(
            {
                *("text_column", "text_pair_column", "label_column", "problem_type"),
                *("class_weights", "label_columns", "label_separator", "decimal_comma"),
                *("exclude_label", "pooling"),
                *("prompt_template", "chat_template", "label_words"),
            }
        ),
        default=True,
        dropout=0.0,
        averages=True,
    )
)
register_task(
    TaskSettings(
        name="relation",
        title="relation extraction",
        module="lowcost_ft.tasks.relation",
        fields=frozenset(
            {
                *("text_column", "tokens_column", "label_column", "exclude_label"),
                *("class_weights", "entity_offsets"),
                *("negative_label", "negative_ratio", "pair_window"),
            }
        ),
        dropout=0.0,
        averages=True,
    )
)
register_task(
    TaskSettings(
        name="question_answering",
        title="question answering",
        module="lowcost_ft.tasks.question_answering",
        fields=frozenset(
            {
                *("question_column", "context_column", "answers_column"),
                *("window_overlap", "max_answer_tokens"),
            }
        ),
        max_length=384,
    )
)
register_task(
    TaskSettings(
        name="translation",
        title="translation",
        module="lowcost_ft.tasks.translation",
        fields=GENERATION_FIELDS
        | {"source_column", "target_column", "references_column"}
        | {"source_language", "target_language"},
        max_length=256,
        max_target_length=96,
    )
)
register_task(
    TaskSettings(
        name="summarization",
        title="summarization",
        module="lowcost_ft.tasks.summarization",
        fields=GENERATION_FIELDS | {"source_column", "target_column", "references_column"},
        max_length=384,
        max_target_length=64,
    )
)
register_task(
    TaskSettings(
        name="dialogue",
        title="dialogue",
        module="lowcost_ft.tasks.dialogue",
        fields=GENERATION_FIELDS - {"prompt_template"} | {"messages_column", "references_column"},
        max_length=384,
        max_target_length=96,
    )
)


def task_class(name: str) -> "type[Task]":
    """The class of a task.

    Raises:
        UserError: There is no task of this name.
    """
    found: type[Task] = importlib.import_module(task_settings(name).module).TASK
    return found
