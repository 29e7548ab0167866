"""The tables of docs/tuning.md, from what `tune.py` left in `tune.json`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["tune_section"]

FILE = Path(__file__).resolve().parent / "tune.json"


def tune_section() -> str:
    """What was found on the samples, what kills did, and how many trials died under a limit."""
    found = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    parts = []
    if "search" in found:
        parts.append(_searches(found["search"]["results"]))
    if "kills" in found:
        kills = found["kills"]["results"]
        equal = "the same trials with the same scores as" if kills["equal"] else "other trials than"
        parts.append(
            f"A search of {kills['trials']} trials that was killed {kills['kills']} times had "
            f"{equal} one that was left alone."
        )
    if "limit" in found:
        parts.append(_limit(found["limit"]["results"]))
    missing = [name for name in ("search", "kills", "limit") if name not in found]
    if missing:
        parts.append(f"Not measured yet: `benchmarks/tune.py` {', '.join(missing)}.")
    return "\n\n".join(parts)


def _searches(results: Mapping[str, Any]) -> str:
    lines = [
        "| recipe | trials | minutes | best | optimism | default, test | best, test | difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for recipe, answer in results.items():
        best, final, optimism = answer["best"], answer["final"] or {}, answer["optimism"]
        means = [
            f"{final[name]['mean']:.4f}" if name in final else "" for name in ("default", "best")
        ]
        difference = ""
        if (told := final.get("difference")) and told["ci95"]:
            low, high = told["ci95"]
            difference = f"{told['mean']:+.4f} ({low:+.4f} to {high:+.4f})"
        tried = sum(trial["state"] != "refused" for trial in answer["trials"])
        flags = "the recipe's own" if best["is_default"] else f"`{' '.join(best['flags'])}`"
        minutes = f"{answer['price']['search_seconds'] / 60:.1f}"
        too_much = f"{optimism['optimism']:.4f}" if optimism else ""
        cells = [f"`{recipe}`", str(tried), minutes, flags, too_much, *means, difference]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _limit(found: Mapping[str, Any]) -> str:
    return (
        f"Under a limit on the data of the process ({found['limit_bytes'] / 1e6:,.0f} MB), of "
        f"{found['trials']} trials {found['not_started']} were not started and {found['failed']} "
        f"died. Of {found['random_trials']} runs with random settings and without a plan, "
        f"{found['random_trials_that_died']} died."
    )
