"""The tables of docs/extensions.md on training for robustness, from what `trust.py` collected."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["robustness_section"]

SUMMARY = Path(__file__).resolve().parent / "trust.json"
_TITLES = {"wnut17": "WNUT-17, entity F1", "banking77": "Banking77, accuracy"}
_FLAGS = {
    "none": "nothing",
    "fgm": "`--adversarial fgm`",
    "pgd": "`--adversarial pgd`",
    "freelb": "`--adversarial freelb`",
    "r-drop": "`--consistency r-drop`",
    "ema": "`--ema 0.99`",
    "typos": "`--augment typos`",
}


def robustness_section() -> str:
    """What each extension does to scores, clean and under mistakes, and what it costs."""
    found = json.loads(SUMMARY.read_text("utf-8"))
    lines = [
        "| data | trained with | test score | difference | under typing mistakes (lost) | "
        "difference | under the attack (lost) | difference | training time | memory |",
        "|---" * 10 + "|",
    ]
    plain = {row["set"]: row for row in found["test"] if row["arm"] == "none"}
    lines += [_line(row, plain[row["set"]]) for row in found["test"]]
    seeds = {
        name: max(len(row["seeds"]) for row in found["test"] if row["set"] == name)
        for name in plain
    }
    counted = ", ".join(
        f"{_TITLES[name].partition(',')[0]}: {count} seed{'s' * (count > 1)}, "
        f"{plain[name]['test_rows']} test rows, {plain[name]['changed_rows']} of them changed"
        for name, count in seeds.items()
    )
    lines += ["", f"{counted}. Brackets hold 95% intervals over test rows."]
    if found["validation"]:
        lines += [
            "",
            "`--adversarial-epsilon` was chosen by validation scores of one seed, after training "
            "on a part of the rows:",
            "",
            *_validation(found["validation"]),
        ]
    return "\n".join(lines)


def _line(row: dict[str, Any], plain: dict[str, Any]) -> str:
    def compared(score: str) -> str:
        low, high = row[f"{score}_difference"]["ci95"]
        found = f"{row[f'{score}_difference']['value']:+.3f} ({low:+.3f} to {high:+.3f})"
        return "" if row is plain else found

    cells = [_TITLES[row["set"]], _name(row["arm"]), f"{row['clean']['value']:.3f}"]
    cells.append(compared("clean"))
    for score in ("noise", "attack"):
        lost = row[f"lost_under_{score}"]["value"]
        cells += [f"{row[score]['value']:.3f} ({lost:.3f})", compared(score)]
    cells.append(f"{row['train_cpu_seconds'] / plain['train_cpu_seconds']:.1f}x")
    cells.append(f"{row['peak_memory_bytes'] / 1e6:.0f} MB")
    return f"| {' | '.join(cells)} |"


def _validation(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "| data | rows | trained with | validation score | under typing mistakes |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {_TITLES[row['set']]} | {row['scale']:.0%} | {_name(row['arm'])} | "
        f"{row['clean']:.3f} | {row['noise']:.3f} |"
        for row in rows
    ]
    return lines


def _name(arm: str) -> str:
    name, _, number = arm.partition(":")
    setting = "--consistency-weight" if name == "r-drop" else "--adversarial-epsilon"
    return _FLAGS[name] + (f", `{setting} {number}`" if number else "")
