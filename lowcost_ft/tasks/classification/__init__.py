"""Text classification: one label, several, or a number, for a text or a pair of texts."""

from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.classification.task import ClassificationTask, balanced_class_weights

__all__ = ["TASK", "ClassificationTask", "TextExample", "balanced_class_weights"]

TASK = ClassificationTask
