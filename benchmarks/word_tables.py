"""The tables of docs/ner.md: one tagger on the words of a file and on the same words as a text."""

import json
import statistics
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results" / "words"
_TITLES = {"before": "words as the file has them", "after": "words cut as texts are"}


def word_tables() -> str:
    """F1 of the test split by seed and by mean, and the differences with their intervals."""
    found = _read("wnut17-test")
    ways = list(found["runs"]["after"][0]["f1"])
    lines = [f"| trained on | seed | {' | '.join(ways)} |", "|---|---|" + "---|" * len(ways)]
    for kind, title in _TITLES.items():
        runs = found["runs"][kind]
        if not runs:
            continue
        for run in runs:
            lines.append(f"| {title} | {run['seed']} | {_cells(run['f1'])} |")
        means = {way: statistics.mean(run["f1"][way] for run in runs) for way in ways}
        lines.append(f"| {title} | mean | {_cells(means)} |")
    lines += ["", "| difference of the means | F1 | 95% interval |", "|---|---|---|"]
    for name, entry in found["compared"].items():
        low, high = entry["ci95"]
        lines.append(f"| {name} | {entry['difference']:+.4f} | {low:+.4f} to {high:+.4f} |")
    return "\n".join(lines)


def piece_sentence() -> str:
    """What was chosen on the validation split, with the scores of both ways."""
    first, every = (_score(_read(f"wnut17-dev-{name}")) for name in ("first-pieces", "every-piece"))
    return (
        "On the validation split of WNUT-17 (seed 0, three epochs), F1 was "
        f"{first:.3f} with the first piece of words outside of entities, and {every:.3f} with "
        "every piece."
    )


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return content


def _score(found: dict[str, Any]) -> float:
    return statistics.mean(run["f1"]["words"] for run in found["runs"]["after"])


def _cells(scores: dict[str, float]) -> str:
    return " | ".join(f"{score:.4f}" for score in scores.values())
