"""The table of docs/ner.md on how tags are chosen, from what `tag_choice.py` measured."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["table", "tag_choice_section"]

RESULTS = Path(__file__).resolve().parent / "tag_choice.json"
_TITLES = {"wnut17": "WNUT-17", "sample": "sample"}


def tag_choice_section() -> str:
    """Both choices, side by side."""
    return table(json.loads(RESULTS.read_text("utf-8")))


def table(results: Sequence[dict[str, Any]]) -> str:
    """A row a run, with the interval of its difference over the sentences."""
    lines = [
        "| data | training sentences | seed | each word's best tag | legal tags "
        "| difference (95% interval) |",
        "|---" * 6 + "|",
    ]
    whole = [run for run in results if run["max_steps"] is None]
    for run in sorted(whole, key=lambda run: (run["set"] == "sample", run["rows"], run["seed"])):
        low, high = run["ci95"]
        cells = [_TITLES[run["set"]], f"{run['rows']:,}", str(run["seed"])]
        cells += [f"{run[f'{choice}_f1']:.3f}" for choice in ("each", "legal")]
        cells.append(f"{run['difference']:+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
