"""Entities over HTTP: in the forms of Hugging Face's inference API and of Label Studio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.card import RunRecord
from lowcost_ft.tasks.serving import Controls

if TYPE_CHECKING:
    import numpy as np

__all__ = ["NerServing"]

_WHOLE_WORDS = ("simple", "first", "average", "max")


class NerServing(Task):
    """The part of the task that answers requests."""

    inference_parameters = frozenset({"aggregation_strategy", "ignore_labels"})
    decided_parameters: ClassVar[Mapping[str, str]] = {
        "stride": "long texts are read in overlapping windows, as in training"
    }

    @classmethod
    def example_input(cls, run: RunRecord) -> dict[str, str]:
        """A text with names in it."""
        return {"text": "Ada Lovelace lives in London."}

    def parameter_problems(self, parameters: Mapping[str, Any]) -> list[str]:
        """Strategies that do not give entities, and what is decided by the run."""
        problems = super().parameter_problems(parameters)
        strategy = parameters.get("aggregation_strategy")
        if strategy is not None and strategy not in _WHOLE_WORDS:
            problems.append(
                f"parameters.aggregation_strategy: answers are whole entities, which is what "
                f"{', '.join(_WHOLE_WORDS)} ask for; {strategy!r} would be their tokens"
            )
        ignored = parameters.get("ignore_labels")
        if ignored is not None and not (
            isinstance(ignored, list) and all(isinstance(label, str) for label in ignored)
        ):
            problems.append("parameters.ignore_labels: give a list of labels")
        return problems

    def inference_answer(
        self,
        answer: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        scores: np.ndarray | None,
        logits: np.ndarray | None,
    ) -> list[dict[str, Any]]:
        """`[{"entity_group", "score", "word", "start", "end"}]`."""
        ignored = parameters.get("ignore_labels") or ()
        return [
            {
                "entity_group": entity["label"],
                "score": entity["score"],
                "word": entity["text"],
                "start": entity["start"],
                "end": entity["end"],
            }
            for entity in answer["entities"]
            if entity["label"] not in ignored
        ]

    @property
    def studio_tags(self) -> tuple[str, ...]:
        """What marks parts of a text."""
        return ("Labels",)

    def studio_labels(self) -> list[str]:
        """The types of entities."""
        return sorted({label[2:] for label in self.labels if label != "O"})

    def studio_results(
        self, answer: Mapping[str, Any], controls: Controls, data: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """A region for each entity; Label Studio counts characters, as we do."""
        name, text = controls["Labels"]
        return [
            {
                "id": f"e{number}",
                "from_name": name,
                "to_name": text,
                "type": "labels",
                "value": {
                    "start": entity["start"],
                    "end": entity["end"],
                    "text": entity["text"],
                    "labels": [entity["label"]],
                },
                "score": entity["score"],
            }
            for number, entity in enumerate(answer["entities"])
        ]
