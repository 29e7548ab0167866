"""Suggested rows as files: tasks for Label Studio or doccano with the model's answers, or JSONL."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.data.exports.writing import doccano_lines, json_lines, label_studio_tasks
from lowcost_ft.suggest.suggesting import Suggestion

__all__ = ["FORMS", "suggestion_row", "suggestions_text"]

FORMS = ("label_studio", "doccano", "jsonl")
"""What can be written: values of --to."""


def suggestion_row(suggestion: Suggestion) -> dict[str, Any]:
    """A suggestion as one object: the row, its number in the pool, and how unsure the model is."""
    more = {} if suggestion.uncertainty is None else {"uncertainty": suggestion.uncertainty}
    return {**suggestion.row, "row": suggestion.place, **more}


def suggestions_text(suggestions: Sequence[Suggestion], to: str, *, model: str) -> str:
    """The content of a file.

    Args:
        suggestions: The rows, the first to be labelled first.
        to: One of `FORMS`.
        model: What Label Studio calls the model whose answers these are.
    """
    rows = [suggestion_row(suggestion) for suggestion in suggestions]
    if to == "jsonl":
        return json_lines(rows)
    if to == "label_studio":
        return label_studio_tasks(rows, predicted_by=model)
    return doccano_lines(rows)
