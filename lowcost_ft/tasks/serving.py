"""A task over HTTP: the inputs that it takes, and its answers in the forms of other servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from lowcost_ft.tasks.card import RunRecord

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Controls", "Serving"]

Controls = Mapping[str, tuple[str, str]]
"""Tag of an interface of Label Studio, such as `Labels` -> names of the control and of its text."""


class Serving:
    """The part of a task that answers the requests of a server.

    Attributes:
        gives_class_scores: Whether each input gets a score of every class, so that servers of
            sequence classifiers can be asked for them. The task then has `class_scores` and
            `told_scores`, and its outputs are one tensor `(batch, labels)`, which `store` keeps as
            `scores`.
        inference_parameters: Names under `parameters` that `inference_answer` obeys; others are
            refused.
        decided_parameters: Names that a client may know and training has decided, with the reason.
        more_input_fields: Fields that an input may have besides `input_fields`, which `read` takes.
    """

    gives_class_scores: ClassVar[bool] = False
    inference_parameters: ClassVar[frozenset[str]] = frozenset()
    decided_parameters: ClassVar[Mapping[str, str]] = {}
    more_input_fields: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def input_fields(cls, run: RunRecord) -> tuple[str, ...]:
        """The fields of an input, in the order in which a person fills them in.

        Args:
            run: The content of `run.json`.
        """
        return ("text",)

    @classmethod
    def example_input(cls, run: RunRecord) -> dict[str, str]:
        """An input that shows what the model does."""
        return {"text": "Where is my parcel?"}

    def class_scores(self, examples: Sequence[Any], scores: np.ndarray) -> list[np.ndarray | None]:
        """The scores of each example's classes, `(labels,)`; None if it has none or several rows.

        Args:
            examples: The examples.
            scores: The array `scores` of the predictions, or the logits in its place.
        """
        return [None] * len(examples)

    def parameter_problems(self, parameters: Mapping[str, Any]) -> list[str]:
        """What is wrong with the `parameters` of a request, in words for the user."""
        known = ", ".join(sorted(self.inference_parameters)) or "none"
        problems = []
        for name, value in parameters.items():
            why = self.decided_parameters.get(name)
            if name in self.inference_parameters or (why and value is None):
                continue
            told = f": {why}: leave it out" if why else f" is not known here; known: {known}"
            problems.append(f"parameters.{name}{told}")
        return problems

    def inference_answer(
        self,
        answer: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        scores: np.ndarray | None,
        logits: np.ndarray | None,
    ) -> Any:
        """An answer in the form of Hugging Face's inference API.

        Args:
            answer: The answer to the input, from `Task.answer`.
            parameters: The parameters of the request.
            scores: The score of each class, `(labels,)`; None if the task has no such scores.
            logits: The logits that the scores were made of, in the same shape.
        """
        return dict(answer)

    @property
    def studio_tags(self) -> tuple[str, ...]:
        """The controls of a Label Studio interface that the task needs and fills in."""
        return ()

    def studio_labels(self) -> list[str]:
        """The labels that `studio_results` may give, which an interface must list."""
        return []

    def studio_results(
        self, answer: Mapping[str, Any], controls: Controls, data: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """An answer in the form of Label Studio's results.

        Args:
            answer: The answer to the input, from `Task.answer`.
            controls: The controls of the project's interface.
            data: The fields of the Label Studio task.
        """
        return []
