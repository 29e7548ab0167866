"""Explanations as JSON and on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.data.rows import counted
from lowcost_ft.explain.explanations import ExplainedText, Explanation

__all__ = ["explanations_json", "explanations_text", "told_in_words"]

_SHOWN_WORDS = 10
_SHOWN_CHARACTERS = 400


def explanations_json(
    texts: Sequence[ExplainedText], summary: Mapping[str, Any], *, unit: str
) -> dict[str, Any]:
    """`{"value": ..., "texts": [...], "summary": {...}}`.

    Args:
        texts: What was explained.
        summary: The summary, from `summary_of`.
        unit: What scores are measured in.
    """
    return {"value": unit, "texts": [_text(one) for one in texts], "summary": dict(summary)}


def _text(one: ExplainedText) -> dict[str, Any]:
    return {"answer": one.answer, "explanations": [_explanation(e) for e in one.explanations]}


def _explanation(one: Explanation) -> dict[str, Any]:
    found = one.attribution
    told: dict[str, Any] = {
        "of": dict(one.decision.told),
        "value": found.value,
        "empty_value": found.empty_value,
        "difference": found.difference,
        "sum": float(found.scores.sum()),
        "convergence_error": found.error,
        "steps": found.steps,
        "converged": found.converged,
        "texts": dict(one.texts),
        "words": [
            {
                "part": word.part,
                "start": word.start,
                "end": word.end,
                "text": one.texts[word.part][word.start : word.end],
                "score": word.score,
                **({} if word.occlusion is None else {"occlusion": word.occlusion}),
            }
            for word in one.words
        ],
    }
    if one.faithfulness is not None:
        told |= vars(one.faithfulness)
    return told


def told_in_words(told: Mapping[str, Any]) -> str:
    """A decision in a line: `refund 0.93`, `person "Anna"`, `lives_in: Anna -> Oslo`."""
    if "answer" in told:
        return f'"{" ".join(told["answer"].split())}"' if told["answer"] else "no answer"
    if "label" not in told:
        return f"{told['score']:.4g}"
    what = str(told["label"])
    if "head" in told:
        what += f": {told['head']} -> {told['tail']}"
    elif "text" in told:
        what += f' "{told["text"]}"'
    return f"{what} {told['score']:.2f}"


def explanations_text(
    texts: Sequence[ExplainedText], summary: Mapping[str, Any], *, unit: str, details: bool
) -> str:
    """Explanations for a terminal.

    Args:
        texts: What was explained.
        summary: The summary, from `summary_of`.
        unit: What scores are measured in.
        details: Whether each decision is shown with its words, or the summary alone.
    """
    lines: list[str] = []
    for one in texts if details else ():
        lines.append(_title(one))
        if not one.explanations:
            lines.append("  (nothing to explain)")
        for explanation in one.explanations:
            lines += _lines(explanation)
        lines.append("")
    if not summary["decisions"]:
        return "\n".join(lines).rstrip()
    error = summary["convergence_error"]
    lines.append(f"Scores of words are {unit}.")
    lines.append(
        f"{counted(summary['decisions'], 'decision')}; convergence error: median "
        f"{error['median']:.2%}, 95% below {error['p95']:.2%}; {summary['steps']:.0f} steps on "
        "average"
    )
    for name, better in (("comprehensiveness", "higher"), ("sufficiency", "lower")):
        if name in summary:
            found = summary[name]
            lines.append(
                f"{name:18} {found['mean']:.3f}   95% interval {found['ci95'][0]:.3f} to "
                f"{found['ci95'][1]:.3f}; words at random {found['random']:.3f} ({better} is "
                f"better)"
            )
    if "occlusion" in summary:
        found = summary["occlusion"]
        rank = found["rank_correlation"]
        same = f"the same first word in {found['same_first_word']:.0%}"
        lines.append(
            f"occlusion          {same}"
            + (f"; rank correlation {rank:.2f}" if rank is not None else "")
        )
    return "\n".join(lines)


def _title(one: ExplainedText) -> str:
    if one.explanations:
        return " | ".join(map(_in_a_line, one.explanations[0].texts.values()))
    return str(one.answer.get("text") or one.answer.get("question") or "")


def _in_a_line(text: str) -> str:
    """A text as far as one wants to see it again: it may be a whole manual."""
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]} ..."


def _lines(one: Explanation) -> list[str]:
    found = one.attribution
    lines = [
        f"  {told_in_words(one.decision.told)}   (value {found.value:+.2f}, of an empty text "
        f"{found.empty_value:+.2f})"
    ]
    ranked = sorted(one.words, key=lambda word: -abs(word.score))
    for word in ranked[:_SHOWN_WORDS]:
        alone = "" if word.occlusion is None else f"   without it {-word.occlusion:+.3f}"
        lines.append(
            f"    {word.score:+8.3f}  {one.texts[word.part][word.start : word.end]}{alone}"
        )
    if len(ranked) > _SHOWN_WORDS:
        more = counted(len(ranked) - _SHOWN_WORDS, "more word")
        lines.append(f"              and {more} (--json has all)")
    doubt = "" if found.converged else ": too large, raise --max-steps"
    lines.append(f"    convergence error {found.error:.2%} after {found.steps} steps{doubt}")
    return lines
