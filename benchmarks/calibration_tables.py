"""The tables of docs/confidence.md, from what `calibration.py` left in `calibration.json`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["calibration_section"]

FILE = Path(__file__).resolve().parent / "calibration.json"


def calibration_section() -> str:
    """Errors before and after, what promises came to, and the AUROC out of scope."""
    if not FILE.exists():
        return "Not measured yet: `benchmarks/calibration.py` measures it."
    sets = json.loads(FILE.read_text("utf-8"))["sets"]
    lines = [
        "| data | seeds | error before | error after | AUROC out of scope |",
        "|---|---|---|---|---|",
    ]
    for name, measured in sets.items():
        runs = measured["runs"]
        seeds = ", ".join(str(run["seed"]) for run in runs)
        errors = [_each(runs, part) for part in ("before", "after")]
        outside = " / ".join(f"{run['out_of_scope']['auroc']:.3f}" for run in runs)
        lines.append(f"| {name} | {seeds} | {errors[0]} | {errors[1]} | {outside} |")
    lines += [
        "",
        "| data | score from | promised precision | on test | promised coverage | on test |",
        "|---|---|---|---|---|---|",
    ]
    for name, measured in sets.items():
        runs = measured["runs"]
        for place, promise in enumerate(runs[0].get("promises", ())):
            told = [run["promises"][place] for run in runs if "promises" in run]
            cells = (
                _mean([one["promised"]["precision"] for one in told]),
                _mean([one["precision"] for one in told]),
                _mean([one["promised"]["coverage"] for one in told]),
                _mean([one["coverage"] for one in told]),
            )
            score = promise["promised"]["min_score"]
            lines.append(f"| {name} | {score:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _each(runs: Sequence[dict[str, Any]], part: str) -> str:
    """The error of each seed; a star where it cannot be told from 0."""
    cells = []
    for run in runs:
        if part not in run:
            cells.append("not fitted")
            continue
        star = "*" if run[part]["p_calibrated"] > 0.05 else ""
        cells.append(f"{run[part]['ece']:.3f}{star}")
    return " / ".join(cells)


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.3f}" if known else "no answer"
