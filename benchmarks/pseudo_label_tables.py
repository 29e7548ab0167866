"""The table of docs/few-labels.md: what texts without labels do, from `pseudo_labels.json`."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from few_shot_tables import difference

__all__ = ["pseudo_label_lines", "pseudo_label_table"]

FILE = Path(__file__).resolve().parent / "pseudo_labels.json"


def pseudo_label_table() -> str:
    """Mean accuracies of each recipe with and without the texts."""
    if not FILE.exists():
        return "Not measured yet."
    return "\n".join(pseudo_label_lines(json.loads(FILE.read_text("utf-8"))))


def pseudo_label_lines(results: Sequence[dict[str, Any]]) -> list[str]:
    """The table, line by line.

    The last column is the difference from the recipe that is best without the texts, whichever
    recipe has learned them, with the 95% interval of paired differences over the seeds.
    """
    runs: dict[tuple[str, int], dict[str, Any]] = {}
    for found in results:  # Of a run without the texts and one with them: what each has.
        key = found["recipe"], found["seed"]
        runs[key] = runs.get(key, {}) | found
    names = list(dict.fromkeys(found["recipe"] for found in results))
    means = {name: _mean(runs, name, "without") for name in names}
    best = max(names, key=lambda name: means[name] or 0.0)
    lines = [
        "| recipe | seeds | 500 labels alone | with the texts "
        f"| with them, against `{best}.py` alone |",
        "|---" * 5 + "|",
    ]
    for name in names:
        seeds = sorted(seed for of, seed in runs if of == name)
        gains = [
            runs[name, seed]["accuracy"] - runs[best, seed]["without"]
            for seed in seeds
            if "accuracy" in runs[name, seed] and (best, seed) in runs
        ]
        score = _mean(runs, name, "accuracy")
        cells = [
            *(f"`{name}.py`", ", ".join(map(str, seeds)), f"{means[name]:.3f}"),
            f"{score:.3f}" if score is not None else "not run",
            difference(gains) if gains else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _mean(runs: dict[tuple[str, int], dict[str, Any]], name: str, what: str) -> float | None:
    found = [run[what] for (of, _), run in runs.items() if of == name and what in run]
    return statistics.mean(found) if found else None
