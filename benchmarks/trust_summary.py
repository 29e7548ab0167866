"""What `trust.py` makes of its runs: the scores of its arms, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowcost_ft.scores.bootstrap import interval
from lowcost_ft.scores.sums import accuracy_of, f1_of

__all__ = ["ARMS", "CONDITIONS", "place", "summary_of", "validation_rows"]

ARMS: dict[str, dict[str, Any]] = {
    "none": {},
    "fgm": {"adversarial": "fgm"},
    "pgd": {"adversarial": "pgd"},
    "freelb": {"adversarial": "freelb"},
    "r-drop": {"consistency": "r-drop"},
    "ema": {"ema": 0.99},
    "typos": {"augment": "typos"},
}
"""Name -> settings of the extension."""
CONDITIONS = ("clean", "noise", "attack")
SCORES = {"accuracy": accuracy_of, "f1": f1_of}


def summary_of(runs: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds of one arm, with 95% intervals over test rows.

    Args:
        runs: Of the arm, one a seed.
        base: Of training without an extension, the same seeds.
    """
    score = SCORES[runs[0]["metric"]]
    numbers = {
        (which, condition): np.stack([np.asarray(run[condition], float).T for run in of])
        for which, of in (("own", runs), ("base", base))
        for condition in ("test", *CONDITIONS)
    }  # Each (seeds, rows, numbers).

    def told(*parts: tuple[str, str, float]) -> dict[str, Any]:
        """A sum of scores, each with its sign."""
        used = [numbers[which, condition] for which, condition, _ in parts]
        seeds, rows, width = used[0].shape
        flat = np.concatenate([one.transpose(1, 0, 2).reshape(rows, -1) for one in used], axis=1)

        def value(sums: np.ndarray) -> np.ndarray:
            by_seed = sums.reshape(*sums.shape[:-1], len(parts), seeds, width)
            scores = score(by_seed).mean(axis=-1)  # (..., parts)
            return scores @ np.array([sign for _, _, sign in parts])

        ci95 = [round(end, 4) for end in interval(value, flat, 0)]
        return {"value": round(float(value(flat.sum(axis=0))), 4), "ci95": ci95}

    return {
        "clean": told(("own", "test", 1)),
        "clean_difference": told(("own", "test", 1), ("base", "test", -1)),
        **{
            key: value
            for condition in CONDITIONS[1:]
            for key, value in {
                condition: told(("own", condition, 1)),
                f"{condition}_difference": told(("own", condition, 1), ("base", condition, -1)),
                f"lost_under_{condition}": told(("own", "clean", 1), ("own", condition, -1)),
                f"less_lost_under_{condition}": told(
                    *(("base", "clean", 1), ("base", condition, -1)),
                    *(("own", "clean", -1), ("own", condition, 1)),
                ),
            }.items()
        },
        "train_cpu_seconds": round(float(np.mean([r["train_cpu_seconds"] for r in runs])), 1),
        "peak_memory_bytes": max(run["peak_memory_bytes"] for run in runs),
    }


def place(arm: str) -> tuple[int, float]:
    """Where an arm stands in tables."""
    name, _, number = arm.partition(":")
    return list(ARMS).index(name), float(number or 0)


def validation_rows(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Validation scores of single runs, as the rows are and under mistakes."""
    rows = []
    chosen = (run for run in runs if "test" not in run)
    for run in sorted(chosen, key=lambda run: (run["set"], place(run["arm"]), run["seed"])):
        scores = {
            condition: round(float(SCORES[run["metric"]](np.asarray(run[condition]).sum(1))), 4)
            for condition in ("clean", "noise")
        }
        rows.append({key: run[key] for key in ("set", "arm", "seed", "scale", "metric")} | scores)
    return rows
