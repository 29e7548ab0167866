"""The table of docs/few-labels.md: a few texts a class, from `few_shot.json`."""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t as student

__all__ = ["difference", "few_shot_table"]

FILE = Path(__file__).resolve().parent / "few_shot.json"
_SETS = {
    "customer_reviews": "customer reviews, 2 classes",
    "ag_news": "AG News, 4 classes",
    "banking77": "Banking77, 77 classes",
}
_ARMS = {
    "ours": "`few_shot_classification.py`",
    "setfit": "`setfit`",
    "head": "a linear head",
    "prompt": "`prompt_classification.py`",
    "zero_shot": "`prompt_classification.py --max-steps 0`",
}


def difference(values: Sequence[float]) -> str:
    """A mean with the 95% interval of paired differences (Student's t)."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:+.3f}"
    half = float(student.ppf(0.975, len(values) - 1)) * statistics.stdev(values)
    half /= math.sqrt(len(values))
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def few_shot_table() -> str:
    """Mean accuracies and training times over the seeds, a row for each set and arm."""
    if not FILE.exists():
        return "Not measured yet."
    results: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
    lines = [
        "| data | what | seeds | test texts | mean accuracy (lowest to highest) "
        "| the recipe is higher by | training, CPU seconds |",
        "|---" * 7 + "|",
    ]
    for name, title in _SETS.items():
        runs = {(r["arm"], r["seed"]): r for r in results if r["set"] == name}
        for arm, what in _ARMS.items():
            own = {seed: run for (of, seed), run in runs.items() if of == arm}
            if not own:
                continue
            scores = [run["accuracy"] for run in own.values()]
            shared = [seed for seed in own if ("ours", seed) in runs and arm != "ours"]
            higher = [runs["ours", seed]["accuracy"] - own[seed]["accuracy"] for seed in shared]
            cells = [
                *(title, what, str(len(own)), f"{max(r['test_rows'] for r in own.values()):,}"),
                f"{statistics.mean(scores):.3f} ({min(scores):.3f} to {max(scores):.3f})",
                difference(higher) if higher else "",
                f"{statistics.mean(r['cpu_seconds'] for r in own.values()):.1f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
