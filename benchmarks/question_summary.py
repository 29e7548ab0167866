"""Means over seeds and paired differences of the runs that `question_answering.py` made."""

import json
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["summary"]

RESAMPLES = 10_000


def summary(results: Path) -> dict[str, Any]:
    """Means over seeds, and paired differences from LoRA with intervals over articles.

    Args:
        results: Folder with a file of each run.
    """
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    peaks: dict[str, list[int | None]] = {}
    for file in sorted(results.glob("xquad-*-seed*.json")):
        record = json.loads(file.read_text("utf-8"))
        found.setdefault(record["arm"], {})[record["seed"]] = record["questions"]
        peaks.setdefault(record["arm"], []).append(record.get("train", {}).get("peak_memory_bytes"))
    arms: dict[str, Any] = {}
    for arm, by_seed in found.items():
        arms[arm] = {"seeds": sorted(by_seed), "questions": len(next(iter(by_seed.values())))}
        measured = [peak for peak in peaks[arm] if peak is not None]
        arms[arm]["peak_memory_bytes"] = max(measured, default=None)
        for metric in ("f1", "exact_match"):
            each = [float(np.mean([q[metric] for q in by_seed[s]])) for s in sorted(by_seed)]
            arms[arm][metric] = round(float(np.mean(each)), 4)
            arms[arm][f"{metric}_by_seed"] = [round(value, 4) for value in each]
    differences = {
        arm: _paired(found["lora"], by_seed, unseeded=arm == "sentence")
        for arm, by_seed in found.items()
        if "lora" in found and arm not in ("lora", "memorize")
    }
    return {"arms": arms, "lora_minus": differences}


def _paired(
    ours: dict[int, list[dict[str, Any]]],
    theirs: dict[int, list[dict[str, Any]]],
    *,
    unseeded: bool,
) -> dict[str, Any]:
    """LoRA's F1 less another arm's: the mean over the seeds of both, articles drawn whole.

    Args:
        ours: Seed -> the questions.
        theirs: The same of the other arm.
        unseeded: Whether the other arm is the same for every seed, and has run once.
    """
    seeds = sorted(ours) if unseeded else sorted(set(ours) & set(theirs))
    gaps: dict[str, list[float]] = {}
    for seed in seeds:
        other = {q["id"]: q["f1"] for q in (theirs[0] if unseeded else theirs[seed])}
        for question in ours[seed]:
            gaps.setdefault(question["title"], []).append(question["f1"] - other[question["id"]])
    sums = np.array([[sum(values), len(values)] for values in gaps.values()], float)
    draw = np.random.default_rng(0).integers(0, len(sums), (RESAMPLES, len(sums)))
    resampled = sums[draw].sum(axis=1)
    low, high = np.percentile(resampled[:, 0] / resampled[:, 1], [2.5, 97.5])
    mean = float(sums[:, 0].sum() / sums[:, 1].sum())
    return {
        "f1": round(mean, 4),
        "f1_ci95": [round(float(low), 4), round(float(high), 4)],
        "seeds": seeds,
        "articles": len(sums),
    }
