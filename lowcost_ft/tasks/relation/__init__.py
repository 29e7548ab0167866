"""Relation extraction: how two entities of a text are related, and in which direction."""

from lowcost_ft.tasks.relation.examples import Mention, RelationExample
from lowcost_ft.tasks.relation.task import RelationTask
from lowcost_ft.tasks.relation.together import find_relations

__all__ = ["TASK", "Mention", "RelationExample", "RelationTask", "find_relations"]

TASK = RelationTask
