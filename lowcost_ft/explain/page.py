"""Explanations as one HTML page that needs nothing else, in the look of the reports."""

from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.explain.answer import told_in_words
from lowcost_ft.explain.explanations import ExplainedText, Explanation
from lowcost_ft.report.page_parts import rendered

__all__ = ["page"]

_SHOWN_TEXTS = 200


def page(texts: Sequence[ExplainedText], summary: Mapping[str, Any], *, run: str, unit: str) -> str:
    """The page.

    Args:
        texts: What was explained.
        summary: The summary, from `summary_of`.
        run: Folder of the run.
        unit: What scores are measured in.

    Raises:
        UserError: The libraries of the extra `report` are missing.
    """
    shown = [
        {
            "explanations": [_shown(one) for one in text.explanations],
            "text": str(text.answer.get("text") or text.answer.get("question") or ""),
        }
        for text in texts[:_SHOWN_TEXTS]
    ]
    return rendered(
        "lowcost_ft.explain",
        title=f"Why {run} answers as it does",
        unit=unit,
        summary=summary,
        texts=shown,
        left_out=max(0, len(texts) - _SHOWN_TEXTS),
    )


def _shown(one: Explanation) -> dict[str, Any]:
    found = one.attribution
    largest = max((abs(word.score) for word in one.words), default=0.0) or 1.0
    return {
        "told": told_in_words(one.decision.told),
        "parts": [(part, _pieces(one, part, largest)) for part in one.texts],
        "value": found.value,
        "empty_value": found.empty_value,
        "error": found.error,
        "converged": found.converged,
        "steps": found.steps,
        "words": [
            (one.texts[word.part][word.start : word.end], word.score, word.occlusion)
            for word in sorted(one.words, key=lambda word: -abs(word.score))[:20]
        ],
        "faithfulness": one.faithfulness,
    }


def _pieces(one: Explanation, part: str, largest: float) -> list[tuple[str, float]]:
    """The text cut into words and what lies between, each with its score between -1 and 1."""
    text, place = one.texts[part], 0
    pieces: list[tuple[str, float]] = []
    for word in one.words:
        if word.part != part:
            continue
        if word.start > place:
            pieces.append((text[place : word.start], 0.0))
        pieces.append((text[word.start : word.end], word.score / largest))
        place = word.end
    return [*pieces, (text[place:], 0.0)]
