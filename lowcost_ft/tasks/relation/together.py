"""Entities and their relations from raw text: an NER run first, then a run of this task."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.config.arguments import to_list
from lowcost_ft.config.tasks import task_settings
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.relation.examples import Mention, RelationExample
from lowcost_ft.tasks.relation.row_forms import entities_example

__all__ = ["entities_of", "find_relations", "predict_together"]


def find_relations(relations: Any, ner: Any, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Entities of texts and the relations among them.

    Weights that are equal in both, such as those of one base model, are held once afterwards; for
    that, load both with `keep_adapter=True`.

    Args:
        relations: A predictor of a relation run.
        ner: A predictor of an NER run.
        texts: The texts.

    Returns:
        For each text `{"text", "entities", "relations"}`. An entity has `id`, `start`, `end`,
        `label`, `text` and `score`; a relation has `head` and `tail`, which are ids, `label` and
        `score`.

    Raises:
        UserError: One of the runs is of another task, or a text is none.
    """
    _check_tasks(relations, ner)
    texts = to_list(texts, "texts", of="texts")
    return predict_together(relations, ner, relations.task.read_texts(texts, None))


def predict_together(
    relations: Any, ner: Any, examples: Sequence[RelationExample]
) -> list[dict[str, Any]]:
    """The same for examples, whose own pairs must not be marked.

    Args:
        relations: A predictor of a relation run.
        ner: A predictor of an NER run.
        examples: The texts.
    """
    _check_tasks(relations, ner)
    if marked := next((one for one in examples if one.pairs or one.entities), None):
        raise UserError(
            f"{marked.source}: the text has its entities, and --ner finds them: leave --ner out, "
            f"or give texts alone"
        )
    relations.share_weights(ner)
    found = ner([example.text for example in examples])
    relations.notices.extend([told for told in ner.notices if told not in relations.notices])
    asked = []
    for example, answer in zip(examples, found, strict=True):
        entities = [
            Mention(
                start=entity["start"],
                end=entity["end"],
                type=entity["label"],
                id=number,
                score=entity["score"],
            )
            for number, entity in enumerate(answer["entities"])
        ]
        asked.append(
            entities_example(
                example.text,
                entities,
                source=example.source,
                row_id=example.row_id,
                window=relations.task.pair_window,
            )
        )
    answers: list[dict[str, Any]] = relations.predict(asked)
    return answers


def _check_tasks(relations: Any, ner: Any) -> None:
    for name, run, wanted, recipe in (
        ("relations", relations.run, "relation", "lora_relation"),
        ("--ner", ner.run, "ner", "lora_ner"),
    ):
        if run["task"] != wanted:
            titles = [task_settings(task).title for task in (wanted, run["task"])]
            raise UserError(
                f"{name} needs a run of {titles[0]}, and this is one of {titles[1]}: give that of "
                f"recipes/{recipe}.py"
            )


def entities_of(example: RelationExample) -> list[dict[str, Any]]:
    """The entities of a text as an answer has them."""
    return [
        {
            "id": entity.id,
            "start": entity.start,
            "end": entity.end,
            "label": entity.type,
            "text": example.text[entity.start : entity.end],
            **({} if entity.score is None else {"score": entity.score}),
        }
        for entity in example.entities or ()
    ]
