"""The table of `cpu_precision.json`: bf16 beside float32 on a CPU."""

import json
import statistics
from pathlib import Path

__all__ = ["cpu_precision_table"]

FILE = Path(__file__).resolve().parent / "cpu_precision.json"
_RUNS = {
    "ner": "LoRA, MiniLM, entities of WNUT-17",
    "ner-full": "full fine-tuning, MiniLM, entities of WNUT-17",
    "translation": "LoRA, SmolLM2-135M, TICO-19",
}


def cpu_precision_table() -> str:
    """Medians over the turns; the ratio of times is the median of each turn's."""
    found = json.loads(FILE.read_text("utf-8"))
    lines = [
        "| training | times as fast as float32, each turn | peak memory, float32 | bf16 | "
        "validation loss, float32 | bf16 |",
        "|---|---|---|---|---|---|",
    ]
    for run, title in _RUNS.items():
        plain, lower = (
            [one for one in found["runs"] if (one["run"], one["precision"]) == (run, precision)]
            for precision in ("no", "bf16")
        )
        if not plain:
            continue
        ratios = [
            one["cpu_seconds"] / other["cpu_seconds"]
            for one, other in zip(plain, lower, strict=True)
        ]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        memory = [
            f"{statistics.median(one['peak_memory_bytes'] for one in some) / 1e6:,.0f} MB"
            for some in (plain, lower)
        ]
        losses = [f"{some[0]['loss']:.4f}" for some in (plain, lower)]
        lines.append(
            f"| {title} | {statistics.median(ratios):.2f} ({each}) | {' | '.join(memory)} | "
            f"{' | '.join(losses)} |"
        )
    return "\n".join(lines)
