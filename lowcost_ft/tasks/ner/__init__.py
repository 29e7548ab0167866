"""Named-entity recognition: words, tags and entities."""

from lowcost_ft.tasks.ner.examples import NerExample, text_example
from lowcost_ft.tasks.ner.task import NerTask, special_tokens

__all__ = ["TASK", "NerExample", "NerTask", "special_tokens", "text_example"]

TASK = NerTask
