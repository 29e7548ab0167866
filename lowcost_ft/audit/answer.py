"""What an audit has found, on the terminal."""

from collections.abc import Mapping
from typing import Any

from lowcost_ft.data.rows import counted
from lowcost_ft.report.labels import metric_name

__all__ = ["attribute_lines", "audit_text", "flips_line", "headline"]


def audit_text(found: Mapping[str, Any]) -> str:
    """What differs, each attribute with its groups, and what cannot be shown.

    Args:
        found: What `audit` returns.
    """
    metric = metric_name(found["metric"])
    lines = [headline(found)]
    for name, told in found["attributes"].items():
        lines += ["", *attribute_lines(name, told, metric)]
    if found["left_out"]:
        lines += [""] + [f"left out: {name}: {why}" for name, why in found["left_out"].items()]
    lines += ["", "What this cannot show:"]
    return "\n".join(lines + [f"- {limit}" for limit in found["cannot_show"]])


def attribute_lines(name: str, told: Mapping[str, Any], metric: str) -> list[str]:
    """One attribute: flipped answers, scores by group, and comparisons, the clearest first."""
    texts, words = counted(told["texts"], "text"), counted(told["words"], "word")
    lines = [f"{name}: {texts}, {words}", f"  {flips_line(told)}"]
    for group, scores in told["groups"].items():
        lines.append(f"  {group:13} {_scores(scores, metric)}")
    ranked = sorted(told["comparisons"], key=lambda one: 2 if one["p"] is None else one["p"])
    return lines + [f"  {_comparison_line(one)}" for one in ranked]


def headline(found: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    if not found["comparisons"]:
        return "nothing could be tested: too few different texts mention a group"
    count = counted(found["comparisons"], "comparison")
    where = f"found in {found['found']:,} of {count}" if found["found"] else f"found in {count}"
    return (
        f"{'a' if found['found'] else 'no'} difference above {found['least_difference']:g} was "
        f"{where} (p < {found['level']:g} after Holm's correction; unit: {found['unit']})"
    )


def flips_line(told: Mapping[str, Any]) -> str:
    """How many answers change with the words."""
    parts = []
    for name, what in (("other_group", "another group"), ("same_group", "the same group")):
        share = (told["flips"] or {}).get(name)
        if share is not None:
            low, high = share["ci95"]
            parts.append(f"{share['share']:.1%} ({low:.1%} to {high:.1%}) with words of {what}")
    largest = f"largest change {told['largest_change']:.3f}"
    return f"answers flipped: {'; '.join(parts)}; {largest}" if parts else largest


def _comparison_line(one: Mapping[str, Any]) -> str:
    """One comparison of two groups."""
    low, high = one["ci95"]
    told = (
        f"{one['group']} against {one['against']}: {one['value']} {one['difference']:+.3f} "
        f"({low:+.3f} to {high:+.3f})"
    )
    if one["p"] is None:
        return f"{told}, not tested"
    return f"{told}, p {one['p_corrected']:.4f}" + (" FOUND" if one["found"] else "")


def _scores(scores: Mapping[str, Any], metric: str) -> str:
    own, made = scores["mentioned"], scores["counterfactual"]
    told = f"{metric} {made['score']:.3f} ({made['ci95'][0]:.3f} to {made['ci95'][1]:.3f})"
    told += " with all texts about this group"
    if own is not None:
        low, high = own["ci95"]
        told += f"; {own['score']:.3f} ({low:.3f} to {high:.3f}) in the {own['texts']:,} about it"
    return told
