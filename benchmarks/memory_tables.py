"""How far predicted peak memory was from the measured one: sentences for `docs/results.md`."""

import json
import statistics
from pathlib import Path
from typing import Any

from lowcost_ft.record.run_file import load_record
from lowcost_ft.report.tables import markdown_text

RESULTS = Path(__file__).resolve().parent / "results"


def memory_sentences() -> str:
    """How far predicted peak memory was from the measured one."""
    files = sorted((RESULTS / "memory").glob("*.json"))
    return "\n".join(f"- {line}" for line in [*map(_memory_line, files), *_plan_lines()])


def _memory_line(file: Path) -> str:
    """How far predicted peak memory is from the measured one."""
    result = json.loads(file.read_text("utf-8"))
    summary = result["summary"]
    device = {"cpu": "a CPU", "cuda": "a GPU"}[result["device"]]
    kinds = {"writing": " of models that write texts"}
    kinds["answers"] = " of relation extraction and question answering"
    of = kinds.get(file.stem.partition("-")[2], "")
    return markdown_text(
        f"Predicted against measured peak memory of {summary['points']} training steps{of} on "
        f"{device} (benchmarks/memory_accuracy.py): the prediction was off by "
        f"{summary['median']:.4%} in the median, {summary['percentile_95']:.3%} at the 95th "
        f"percentile and {summary['worst']:.3%} at worst. It was more than 1% too low in "
        f"{summary['share_under_by_1_percent']:.0%} of the steps, and too low by any amount in "
        f"{summary['share_under']:.0%}."
    )


def _plan_lines() -> list[str]:
    """How far the runs of the gpu suite were off, each of which predicts its own step."""
    runs = [run for run in map(load_record, sorted(RESULTS.glob("*.json"))) if _on_gpu(run)]
    errors = sorted(
        run["train"]["predicted_peak_memory_bytes"] / run["train"]["peak_memory_bytes"] - 1
        for run in runs
    )
    if not errors:
        return []
    device = " and ".join(sorted({gpu["name"] for r in runs for gpu in r["hardware"]["gpus"]}))
    return [
        f"The {len(runs)} runs on an {device} in the table above predicted their own peak memory; "
        f"the error was between {errors[0]:+.1%} and {errors[-1]:+.1%}, and "
        f"{statistics.median(errors):+.1%} in the median (a minus sign means too low)."
    ]


def _on_gpu(run: dict[str, Any]) -> bool:
    train = run.get("train", {})
    predicted = train.get("predicted_peak_memory_bytes") is not None
    return predicted and train.get("peak_memory_source") == "cuda_allocator"
