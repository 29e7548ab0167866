"""Relations over HTTP: in the forms of Hugging Face's inference API and of Label Studio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.card import RunRecord
from lowcost_ft.tasks.serving import Controls

if TYPE_CHECKING:
    import numpy as np

__all__ = ["RelationServing"]


class RelationServing(Task):
    """The part of the task that answers requests."""

    more_input_fields: ClassVar[tuple[str, ...]] = ("head", "tail", "entities", "id")

    @classmethod
    def input_fields(cls, run: RunRecord) -> tuple[str, ...]:
        """A text that marks its two entities."""
        return ("text",)

    @classmethod
    def example_input(cls, run: RunRecord) -> dict[str, str]:
        """The example of `lowcost-ft predict`."""
        return {"text": cls.example_flags(run)[1]}

    def class_scores(self, examples: Sequence[Any], scores: np.ndarray) -> list[np.ndarray | None]:
        """Those of a text with one pair."""
        found: list[np.ndarray | None] = []
        first = 0
        for example in examples:
            found.append(scores[first] if len(example.pairs) == 1 else None)
            first += len(example.pairs)
        return found

    def inference_answer(
        self,
        answer: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        scores: np.ndarray | None,
        logits: np.ndarray | None,
    ) -> Any:
        """A text with one pair gives `[{"label", "score"}]`; else entities and relations."""
        if scores is None or "label" not in answer:
            return dict(answer)
        found: Any = super().inference_answer(answer, parameters, scores=scores, logits=logits)
        return found

    @property
    def studio_tags(self) -> tuple[str, ...]:
        """None: see `studio_results`."""
        return ()

    def studio_results(
        self, answer: Mapping[str, Any], controls: Controls, data: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Nothing: relations join regions that an annotator has made, whose ids are not sent."""
        return []
