"""Question answering: the span of a text that answers a question, or that none does."""

from lowcost_ft.tasks.question_answering.examples import QuestionExample
from lowcost_ft.tasks.question_answering.row_answers import Answer
from lowcost_ft.tasks.question_answering.task import QuestionAnsweringTask

__all__ = ["TASK", "Answer", "QuestionAnsweringTask", "QuestionExample"]

TASK = QuestionAnsweringTask
