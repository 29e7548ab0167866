"""Tables of training on a CPU: bf16 beside float32, and processes beside threads."""

import json
import statistics
from pathlib import Path

__all__ = ["cpu_precision_table", "cpu_processes_table"]

FILE = Path(__file__).resolve().parent / "cpu_precision.json"
PROCESSES = FILE.with_name("cpu_processes.json")
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


def cpu_processes_table() -> str:
    """Medians over the turns; the ratio of times is the median of each turn's."""
    found = json.loads(PROCESSES.read_text("utf-8"))["runs"]
    lines = [
        "| training | one process, two threads | two processes, one thread each | "
        "times as fast, each turn | memory of each process |",
        "|---|---|---|---|---|",
    ]
    for run, title in _RUNS.items():
        ways = [
            [one for one in found if one["run"] == run and (one["processes"] > 1) == several]
            for several in (False, True)
        ]
        if not all(ways):
            continue
        ratios = [one["seconds"] / other["seconds"] for one, other in zip(*ways, strict=True)]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        rates = [
            f"{statistics.median(one['real_tokens'] / one['seconds'] for one in way):,.0f} tokens/s"
            for way in ways
        ]
        memory = [
            f"{statistics.median(one['peak_resident_bytes'] for one in way) / 1e6:,.0f} MB"
            for way in ways
        ]
        lines.append(
            f"| {title} | {' | '.join(rates)} | {statistics.median(ratios):.2f} ({each}) | "
            f"{' and '.join(memory)} |"
        )
    return "\n".join(lines)
