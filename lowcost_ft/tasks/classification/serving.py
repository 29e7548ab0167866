"""Classes over HTTP: in the forms of Hugging Face's inference API and of Label Studio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.card import RunRecord
from lowcost_ft.tasks.serving import Controls

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ClassificationServing"]

_FUNCTIONS = ("sigmoid", "softmax", "none")


class ClassificationServing(Task):
    """The part of the task that answers requests."""

    gives_class_scores: ClassVar[bool] = True
    inference_parameters = frozenset({"top_k", "function_to_apply"})

    @classmethod
    def input_fields(cls, run: RunRecord) -> tuple[str, ...]:
        """One text or two, as in training."""
        pairs = bool((run.get("data") or {}).get("pairs"))
        return ("text", "text_pair") if pairs else ("text",)

    @classmethod
    def example_input(cls, run: RunRecord) -> dict[str, str]:
        """A question, and what could be its second text."""
        example = {"text": "Where is my parcel?", "text_pair": "My order has not arrived."}
        return {name: example[name] for name in cls.input_fields(run)}

    def class_scores(self, examples: Sequence[Any], scores: np.ndarray) -> list[np.ndarray | None]:
        """One row each."""
        return list(scores)

    def parameter_problems(self, parameters: Mapping[str, Any]) -> list[str]:
        """Numbers and names that are none."""
        problems = super().parameter_problems(parameters)
        top_k, function = parameters.get("top_k"), parameters.get("function_to_apply")
        if top_k is not None and (type(top_k) is not int or top_k < 1):
            problems.append("parameters.top_k: give a whole number from 1 on")
        if function is not None and function not in _FUNCTIONS:
            problems.append(f"parameters.function_to_apply: give one of {', '.join(_FUNCTIONS)}")
        return problems

    def inference_answer(
        self,
        answer: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        scores: np.ndarray | None,
        logits: np.ndarray | None,
    ) -> list[dict[str, Any]]:
        """`[{"label", "score"}]`, the best first; of a number its name and value."""
        if scores is None or logits is None:
            return []
        values = _applied(parameters.get("function_to_apply"), scores, logits)
        order = (-values).argsort(kind="stable")[: parameters.get("top_k")]
        return [{"label": self.labels[i], "score": float(values[i])} for i in order]

    @property
    def studio_tags(self) -> tuple[str, ...]:
        """What holds a number, or classes."""
        return ("Number",) if self.problem_type == "regression" else ("Choices",)

    def studio_labels(self) -> list[str]:
        """The classes; none of a number."""
        return [] if self.problem_type == "regression" else list(self.labels)

    def studio_results(
        self, answer: Mapping[str, Any], controls: Controls, data: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """The chosen classes as one result, or the number."""
        label, score = answer.get("label"), answer.get("score")
        if self.problem_type == "regression" and score is not None:
            name, text = controls["Number"]
            shared = {"id": "n0", "from_name": name, "to_name": text, "type": "number"}
            return [shared | {"value": {"number": score}}]
        if not label:
            return []
        name, text = controls["Choices"]
        chosen, sure = (label, score) if isinstance(label, list) else ([label], [score])
        return [
            {
                "id": "c0",
                "from_name": name,
                "to_name": text,
                "type": "choices",
                "value": {"choices": list(chosen)},
                "score": min(sure) if sure else None,
            }
        ]


def _applied(function: str | None, scores: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """The scores, or what the function that a request names makes of the logits."""
    import numpy as np

    if function is None:
        return scores
    wide = logits.astype(np.float64)
    if function == "sigmoid":
        return 1 / (1 + np.exp(-wide))
    if function == "softmax":
        powers = np.exp(wide - wide.max())
        found: np.ndarray = powers / powers.sum()
        return found
    return logits
