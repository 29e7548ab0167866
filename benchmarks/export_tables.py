"""The table and the example of docs/export.md.

The table is what `benchmarks/export.py` measured. The example is what one export printed:

    lowcost-ft export RUN --output-dir DIR --precision fp32,int8 --json > benchmarks/export.json
"""

import json
import statistics
from pathlib import Path
from typing import Any

from lowcost_ft.export.report import ExportedFile, ExportReport
from lowcost_ft.export.telling import summary_lines
from lowcost_ft.pipeline.comparing import Drift
from lowcost_ft.tasks import task_class

__all__ = ["export_example", "export_table"]

EXAMPLE = Path(__file__).resolve().parent / "export.json"
RESULTS = Path(__file__).resolve().parent / "results" / "export"
_TITLES = {"wnut17": "WNUT-17", "banking77": "Banking77"}
_WAYS = {"run": "the run, with PyTorch", "fp32": "ONNX, fp32", "int8": "ONNX, int8"}


def export_example() -> str:
    """What the command prints."""
    found = json.loads(EXAMPLE.read_text("utf-8"))
    files = [ExportedFile(**one | {"drift": Drift(**one["drift"])}) for one in found["files"]]
    report = ExportReport(**found | {"files": files, "folder": "models/ner-onnx"})
    flag, text = task_class("ner").example_flags({})
    command = f'lowcost-ft predict {report.folder} {flag} "{text}"'
    lines = "\n".join(summary_lines(report, command))
    return f"```text\n{lines}\n```"


def export_table() -> str:
    """Test scores and speeds, means over the seeds that have finished."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(RESULTS.glob("*.json")):
        result = json.loads(file.read_text("utf-8"))
        found.setdefault(result["data"], []).append(result)
    if not found:
        return "The scores and speeds on public data are not measured yet."
    lines = [
        "| data | predicted by | test score | difference by seed | speed | layers in float32 |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        for way, title in _WAYS.items():
            having = [run for run in runs if way in run["test"]]
            if not having:
                reason = next(
                    one["reason"]
                    for one in runs[0]["validation"]["files"]
                    if one["precision"] == way
                )
                lines.append(f"| {_TITLES[name]} | {title}, not written | {reason} | | | |")
                continue
            lines.append(_row(name, way, title, having))
    seeds = sorted({run["seed"] for runs in found.values() for run in runs})
    machine = next(iter(found.values()))[0]["validation"]
    lines += [
        "",
        f"Means over the seeds {', '.join(map(str, seeds))} of MiniLM; speed is a multiple of the "
        f"run's own predictor, on {machine['threads']} thread of {machine['cpu']} "
        f"({machine['int8_instructions']}). The difference is to fp32.",
    ]
    return "\n".join(lines)


def _row(name: str, way: str, title: str, runs: list[dict[str, Any]]) -> str:
    scores = [run["test"][way]["score"] for run in runs]
    speeds = [run["test"]["run"]["seconds"] / run["test"][way]["seconds"] for run in runs]
    differences = ", ".join(
        f"{run['test'][way]['score'] - run['test']['fp32']['score']:+.4f}" for run in runs
    )
    left = [
        f"{len(one['float_layers'])} of {one['layers']}"
        for run in runs
        for one in run["validation"]["files"]
        if one["precision"] == way and one["layers"]
    ]
    return (
        f"| {_TITLES[name]} | {title} | {statistics.mean(scores):.4f} | "
        f"{differences if way == 'int8' else ''} | {statistics.mean(speeds):.2f}x | "
        f"{', '.join(left)} |"
    )
