"""Answers to questions over HTTP, in the form of Hugging Face's inference API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.card import RunRecord

if TYPE_CHECKING:
    import numpy as np

__all__ = ["QuestionServing"]

_DECIDED = {
    "doc_stride": "the windows of a long text overlap as in training",
    "max_answer_len": "the longest answer was decided in training (--max-answer-tokens)",
    "max_question_len": "a question may take half of a window, as in training",
    "max_seq_len": "the length of a window was decided in training (--max-length)",
}


class QuestionServing(Task):
    """The part of the task that answers requests."""

    inference_parameters = frozenset({"handle_impossible_answer", "top_k"})
    decided_parameters: ClassVar[Mapping[str, str]] = _DECIDED

    @classmethod
    def input_fields(cls, run: RunRecord) -> tuple[str, ...]:
        """A question and its text."""
        return ("question", "context")

    @classmethod
    def example_input(cls, run: RunRecord) -> dict[str, str]:
        """The example of the model card."""
        from lowcost_ft.tasks.question_answering.telling import EXAMPLE_CONTEXT, EXAMPLE_QUESTION

        return {"question": EXAMPLE_QUESTION, "context": EXAMPLE_CONTEXT}

    def parameter_problems(self, parameters: Mapping[str, Any]) -> list[str]:
        """What is decided by the run."""
        problems = super().parameter_problems(parameters)
        top_k = parameters.get("top_k")
        if top_k is not None and not (type(top_k) is int and top_k == 1):
            problems.append("parameters.top_k: there is one answer to a question: leave it out")
        impossible = parameters.get("handle_impossible_answer")
        if impossible is not None and type(impossible) is not bool:
            problems.append("parameters.handle_impossible_answer: give true or false")
        elif impossible is not None and impossible != self.gives_no_answer:
            does = "can" if self.gives_no_answer else "cannot"
            problems.append(
                f"parameters.handle_impossible_answer: this model {does} leave a question without "
                f"an answer, as it was trained: leave it out"
            )
        return problems

    @property
    def gives_no_answer(self) -> bool:
        """Whether a question may be left without an answer."""
        return getattr(self, "null_threshold", None) is not None

    def inference_answer(
        self,
        answer: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        scores: np.ndarray | None,
        logits: np.ndarray | None,
    ) -> dict[str, Any]:
        """`{"answer", "score", "start", "end"}`."""
        return {name: answer[name] for name in ("answer", "score", "start", "end")}
