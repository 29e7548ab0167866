"""The tables of docs/extensions.md on training for robustness, from what `trust.py` collected."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["robustness_section"]

SUMMARY = Path(__file__).resolve().parent / "trust.json"
_TITLES = {"wnut17": "WNUT-17, entity F1", "banking77": "Banking77, accuracy"}
_SCORES = ("clean", "noise", "attack")


def robustness_section() -> str:
    """What each extension does to scores, clean and under mistakes, and what it costs."""
    found = json.loads(SUMMARY.read_text("utf-8"))
    lines: list[str] = []
    for name, title in _TITLES.items():
        if rows := [row for row in found["test"] if row["set"] == name]:
            lines += [*_of_set(title, rows), ""]
    if found["validation"]:
        lines += [
            "The default of `--adversarial-epsilon` was chosen by validation scores, of one seed "
            "and after training on a part of the rows:",
            "",
            *_validation(found["validation"]),
        ]
    return "\n".join(lines).rstrip()


def _of_set(title: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Two tables: scores and costs, and differences with intervals."""
    plain = next(row for row in rows if row["arm"] == "none")
    seeds = max(len(row["seeds"]) for row in rows)
    lines = [
        f"**{title}**, {plain['rows']:,} training rows, {seeds} seed{'s' * (seeds > 1)}, "
        f"{plain['test_rows']} test rows, {plain['changed_rows']} of them changed; what is lost is "
        "lost on these",
        "",
        "| trained with | test score | with mistakes | lost | attacked | lost | time | memory |",
        "|---" * 8 + "|",
    ]
    for row in rows:
        few = "" if len(row["seeds"]) == seeds else f" ({_listed(row['seeds'])})"
        cells = [_name(row["arm"]) + few, f"{row['clean']['value']:.3f}"]
        for score in _SCORES[1:]:
            lost = row[f"lost_under_{score}"]["value"]
            cells += [f"{row[score]['value']:.3f}", f"{lost:.3f}"]
        cells.append(f"{row['train_cpu_seconds'] / plain['train_cpu_seconds']:.1f}x")
        cells.append(f"{row['peak_memory_bytes'] / 1e6:.0f} MB")
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Differences from training with nothing, with 95% intervals over test rows:",
        "",
        "| trained with | test score | with mistakes | attacked |",
        "|---" * 4 + "|",
    ]
    for row in rows:
        if row is not plain:
            cells = [_name(row["arm"]), *(_signed(row[f"{one}_difference"]) for one in _SCORES)]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _validation(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "| data | rows | trained with | validation score | with mistakes |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {_TITLES[row['set']]} | {row['scale']:.0%} | {_name(row['arm'])} | "
        f"{row['clean']:.3f} | {row['noise']:.3f} |"
        for row in rows
    ]
    return lines


def _name(arm: str) -> str:
    """An arm by the values of its flags, short enough for a column."""
    name, _, number = arm.partition(":")
    what = {"none": "nothing", "ema": "ema 0.99", "typos": "augment typos"}.get(name, name)
    letter = "weight" if name == "r-drop" else "epsilon"
    return f"{what}, {letter} {number}" if number else what


def _listed(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _signed(found: dict[str, Any]) -> str:
    low, high = found["ci95"]
    return f"{found['value']:+.3f} ({low:+.3f} to {high:+.3f})"
