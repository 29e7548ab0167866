"""The table of docs/distillation.md, from what `compression.py` summarised."""

import json
from pathlib import Path
from typing import Any

__all__ = ["compression_section"]

SUMMARY = Path(__file__).resolve().parent / "compression.json"
_TITLES = {"wnut17": "WNUT-17, entity F1", "banking77": "Banking77, accuracy"}
_ARMS = {
    "teacher": "the teacher: LoRA in all 6 layers",
    "student": "its lower 3 layers, taught by it",
    "teacher-layers": "its lower 3 layers, labels alone",
    "labels-only": "the pretrained model's lower 3 layers, labels alone",
}


def compression_section() -> str:
    """Scores and speed of teacher and students, or that nobody has measured them."""
    if not SUMMARY.is_file():
        return (
            "How much of the teacher's score a student keeps was not measured yet: "
            "`benchmarks/compression.py`."
        )
    found = json.loads(SUMMARY.read_text("utf-8"))
    return "\n".join(
        [
            "## What it keeps of a score",
            "",
            "all-MiniLM-L6-v2, the recipes' defaults, mean test scores over the seeds. The speed "
            "is that of predicting the test set, measured in turns with the teacher.",
            "",
            "| data | model | test score (each seed) | of the teacher's | speed |",
            "|---|---|---|---|---|",
            *(line for data, one in found.items() for line in _lines(_TITLES[data], one)),
            "",
            *(_verdict(_TITLES[data], one) for data, one in found.items()),
            "",
            "`python benchmarks/compression.py DATA` makes the runs.",
        ]
    )


def _verdict(title: str, found: dict[str, Any]) -> str:
    """What the teacher adds, by the seeds that both students have."""
    taught, alone = found["scores"]["student"], found["scores"]["labels-only"]
    differences = [taught[seed] - alone[seed] for seed in taught if seed in alone]
    mean = sum(differences) / len(differences)
    each = ", ".join(f"{one:+.3f}" for one in differences)
    what = "adds to" if mean > 0 else "lowers"
    name = title.partition(",")[0]
    return (
        f"On {name} the teacher {what} the score of a model of 3 layers: {mean:+.3f} ({each}), "
        "compared with the pretrained model's layers and labels alone."
    )


def _lines(title: str, found: dict[str, Any]) -> list[str]:
    lines = []
    for arm, name in _ARMS.items():
        if arm not in found["means"]:
            continue
        each = ", ".join(f"{score:.3f}" for score in found["scores"][arm].values())
        ratios = found["speed_ratios"] if arm == "student" else []
        speed = f"{sum(ratios) / len(ratios):.2f}x" if ratios else ""
        share = "" if arm == "teacher" else f"{found['shares'][arm]:.1%}"
        lines.append(
            f"| {title} | {name} | {found['means'][arm]:.3f} ({each}) | {share} | {speed} |"
        )
    return lines
