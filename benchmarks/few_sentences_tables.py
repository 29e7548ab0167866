"""The tables of docs/few-labels.md on a few sentences with entities, from `few_sentences.json`."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from few_shot_tables import difference

__all__ = ["few_sentences_table", "sentence_choice_table", "summary"]

FILE = Path(__file__).resolve().parent / "few_sentences.json"
_SETS = {"sample": "the sample data", "wnut17": "WNUT-17"}
_ARMS = {
    "ours": "`few_shot_ner.py`",
    "lora": "`lora_ner.py`",
    "lora-0.002": "`lora_ner.py --learning-rate 0.002`",
    "entities": "`lora_ner.py --augment entities`",
    "entities-all": "the same with `--augment-share 1`",
    "r-drop": "`lora_ner.py --consistency r-drop`",
}


def few_sentences_table() -> str:
    """Mean F1 on the test sentences, a row for each set, size and arm."""
    lines = [
        "| data | sentences | what | seeds | mean test F1 (lowest to highest) "
        "| the recipe is higher by | training, CPU seconds |",
        "|---" * 7 + "|",
    ]
    for (name, size, undrawn), runs in _groups(_results()).items():
        if undrawn:
            continue
        for arm, own in runs.items():
            scores = [run["f1"] for run in own.values()]
            cells = [
                *(_SETS[name], str(size), _ARMS[arm], str(len(own))),
                f"{statistics.mean(scores):.3f} ({min(scores):.3f} to {max(scores):.3f})",
                _higher(runs, arm),
                f"{statistics.mean(run['cpu_seconds'] for run in own.values()):.0f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 2 else "Not measured yet."


def sentence_choice_table() -> str:
    """F1 on training sentences that were not drawn, by which settings were chosen."""
    groups = {key: runs for key, runs in _groups(_results()).items() if key[2]}
    seeds = sorted({seed for runs in groups.values() for own in runs.values() for seed in own})
    lines = [
        f"| data | sentences | what | {' | '.join(f'F1, draw {seed}' for seed in seeds)} |",
        "|---" * (3 + len(seeds)) + "|",
    ]
    for (name, size, _), runs in groups.items():
        for arm, own in runs.items():
            scores = (f"{own[seed]['f1']:.3f}" if seed in own else "" for seed in seeds)
            lines.append(f"| {_SETS[name]} | {size} | {_ARMS[arm]} | {' | '.join(scores)} |")
    return "\n".join(lines) if len(lines) > 2 else "Not measured yet."


def summary(results: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each set, size and kind of rows that were scored."""
    lines = []
    for (name, size, undrawn), runs in _groups(results).items():
        told = []
        for arm, own in runs.items():
            scores = [run["f1"] for run in own.values()]
            told.append(f"{arm} {statistics.mean(scores):.3f} over {len(scores)} seeds")
            if higher := _higher(runs, arm):
                told[-1] += f" (ours is higher by {higher})"
        on = f", {undrawn} undrawn training rows" if undrawn else ""
        lines.append(f"{name}, {size} sentences{on}: {'; '.join(told)}")
    return lines


def _results() -> list[dict[str, Any]]:
    results = json.loads(FILE.read_text("utf-8")) if FILE.exists() else []
    return [run for run in results if run["max_steps"] is None]


def _groups(
    results: Sequence[dict[str, Any]],
) -> dict[tuple[str, int, int], dict[str, dict[int, dict[str, Any]]]]:
    """Runs by set, size and scored rows, then by arm and seed."""
    keys = sorted({(run["set"], run["sentences"], run["undrawn"]) for run in results})
    return {
        key: {
            arm: own
            for arm in _ARMS
            if (
                own := {
                    run["seed"]: run
                    for run in results
                    if (run["set"], run["sentences"], run["undrawn"]) == key and run["arm"] == arm
                }
            )
        }
        for key in keys
    }


def _higher(runs: dict[str, dict[int, dict[str, Any]]], arm: str) -> str:
    """How much higher the recipe is than an arm, over the seeds of both."""
    ours = runs.get("ours", {})
    shared = [seed for seed in runs[arm] if seed in ours and arm != "ours"]
    if not shared:
        return ""
    return difference([ours[seed]["f1"] - runs[arm][seed]["f1"] for seed in shared])
