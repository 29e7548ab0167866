"""What the READMEs show of the results: a few rows, and the end of the quickstart."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lowcost_ft.config.methods import find_method
from lowcost_ft.pipeline.summary import score_lines
from lowcost_ft.report.numbers import memory_text, ratio_text, score_text
from lowcost_ft.report.rows import Comparison, Row

HERE = Path(__file__).resolve().parent
QUICKSTART = HERE / "quickstart.json"
"""The `run.json` of `make quickstart`."""
WORDS = HERE / "summary.json"
"""Which rows are shown, and what each language calls them."""
SPEED = HERE / "results" / "speed" / "speed-wnut17-ner-amd-epyc.json"
"""The result of `compare_speed.py` that the READMEs quote."""


def summary_table(comparisons: Sequence[Comparison], language: Literal["en", "zh"]) -> str:
    """How fast training is, and a few rows, with costs as multiples of full fine-tuning.

    A star is behind the rows of earlier defaults.
    """
    words = json.loads(WORDS.read_text("utf-8"))
    arms = json.loads(SPEED.read_text("utf-8"))["arms"]
    ways = {"float32": "ours-lora-query-value", "int8": "ours-lora-query-value-int8"}
    ratios = {name: arms[arm]["over_tuned_trainer_peft"] for name, arm in ways.items()}
    found = {_name(row): (comparison, row) for comparison in comparisons for row in comparison.rows}
    columns = words["columns"][language]
    lines = [words["speed"][language].format(**ratios), ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for name, titles in words["rows"].items():
        if name not in found:
            continue
        comparison, row = found[name]
        full = comparison.full(row)
        cells = [
            words["data"][name.partition("-")[0]][language],
            titles[language] + _mark(row),
            score_text(row.score, row.interval).replace(" to ", words["to"][language]),
            memory_text(row.memory) + _multiple(row, full, "memory"),
            _speed_text(row, full),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _name(row: Row) -> Any:
    return row.results[0].get("benchmark", "name")


def _mark(row: Row) -> str:
    """A star behind what ran with earlier defaults, which records of today tell by a field."""
    name = str(row.results[0].get("method"))
    method = find_method(name)
    averages = method is not None and method.averages
    earlier = any(
        "output_bias" not in one.run or (averages and not one.get("config", "ema"))
        for one in row.results
    )
    return r" \*" * (earlier and not name.startswith("trainer"))


def _speed(row: Row) -> float | None:
    """Tokens for each second of CPU time, which other programs on the machine hardly change."""
    trained = [one.table("train") for one in row.results]
    speeds = [t["real_tokens_per_second"] / t["cpu_share"] for t in trained if t.get("cpu_share")]
    return statistics.median(speeds) if len(speeds) == len(trained) else None


def _speed_text(row: Row, full: Row | None) -> str:
    speed, whole = _speed(row), full and _speed(full)
    if speed is None:
        return ""
    return f"{speed:,.0f}" + (f" ({ratio_text(speed, whole)})" if full is not row and whole else "")


def _multiple(row: Row, full: Row | None, what: str) -> str:
    if full is None or full is row:
        return ""
    ratio = ratio_text(getattr(row, what), getattr(full, what))
    return f" ({ratio})" if ratio else ""


def quickstart_text() -> str:
    """How `make quickstart` ends."""
    record = json.loads(QUICKSTART.read_text("utf-8"))
    train = record["train"]
    lines = [
        *score_lines("test", record["evaluation"]["test"]),
        "",
        f"peak memory   {train['peak_memory_bytes'] / 1e6:,.0f} MB in a training step (CPU "
        f"tensors); process {train['peak_resident_bytes'] / 1e6:,.0f} MB",
        "saved in      runs/ner-lora",
    ]
    return "\n".join(["```text", *lines, "```"])
