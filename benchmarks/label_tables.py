"""The table of docs/few-labels.md: labels that `suggest` needs, from `label_curve.json`."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["REFERENCE", "label_lines", "label_table", "labels_for"]

FILE = Path(__file__).parent / "label_curve.json"
REFERENCE = 2000
"""Labels, chosen at random, whose score is to be reached with fewer."""

_TITLES = {"banking77": "Banking77, accuracy", "wnut17": "WNUT-17, entity F1"}


def labels_for(points: Sequence[tuple[int, float]], wanted: float) -> float | None:
    """Labels after which a score is reached, read between rounds; None where it is not."""
    before = (0, 0.0)
    for count, score in points:
        if score >= wanted:
            share = (wanted - before[1]) / max(score - before[1], 1e-9)
            return before[0] + share * (count - before[0])
        before = (count, score)
    return None


def label_table() -> str:
    """For each data set, scores after as many labels, and after how many the reference is met."""
    if not FILE.exists():
        return "Not measured yet."
    runs = json.loads(FILE.read_text("utf-8"))
    return "\n".join(label_lines(runs))


def label_lines(runs: Sequence[dict[str, Any]]) -> list[str]:
    """The table, line by line."""
    lines = [
        f"| data | seeds | chosen | 200 labels | 600 | 1,000 | {REFERENCE:,} | "
        f"labels for the score of {REFERENCE:,} random ones |",
        "|---" * 8 + "|",
    ]
    for data in dict.fromkeys(run["data"] for run in runs):
        seeds = sorted({run["seed"] for run in runs if run["data"] == data})
        curves = {(run["choice"], run["seed"]): run["curve"] for run in runs if run["data"] == data}
        for choice, title in (("random", "at random"), ("suggest", "`suggest`")):
            own = [dict(curves[choice, seed]) for seed in seeds if (choice, seed) in curves]
            if not own:
                continue
            means = [
                f"{statistics.mean(curve[count] for curve in own):.3f}"
                for count in (200, 600, 1000, REFERENCE)
            ]
            needed = _needed(curves, choice, seeds)
            cells = [_TITLES[data], ", ".join(map(str, seeds)), title, *means, needed]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _needed(curves: dict[tuple[str, int], Any], choice: str, seeds: Sequence[int]) -> str:
    if choice == "random":
        return f"{REFERENCE:,}"
    counts = []
    for seed in seeds:
        if {("random", seed), (choice, seed)} <= set(curves):
            wanted = curves["random", seed][-1][1]
            found = labels_for(curves[choice, seed], wanted)
            counts.append("not reached" if found is None else f"{found:,.0f}")
    return ", ".join(counts)
