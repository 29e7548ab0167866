"""What an export came to, for the terminal."""

import textwrap
from collections.abc import Mapping
from typing import Any

from lowcost_ft.export.report import ExportedFile, ExportReport

__all__ = ["notes_on", "summary_lines"]

_WIDTH = 80


def summary_lines(report: ExportReport, command: str) -> list[str]:
    """A table of the run and its files, what was not written, and a command to try next."""
    metric = report.files[0].drift.metric
    head = ["", "size", "changed", f"validation {metric}", "texts/s", "ms a text"]
    rows = [head, ["run", "", "", _score(report.files), *_speed(report)]]
    for one in report.files:
        share = f"{one.drift.drift:.2%}"
        size = f"{one.bytes / 1e6:.1f} MB" if one.file else "not written"
        rows.append([one.precision, size, share, f"{one.drift.score_after:.4f}", *_speed(one)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    kind = report.int8_instructions or "no instructions for 8-bit products"
    threads = f"{report.threads} thread{'s' * (report.threads != 1)}"
    parts = [
        f"Measured on {report.cpu} ({kind}), {threads}, on {report.validation_rows:,} validation "
        f"rows. The logits of fp32 differ from the run's by at most {report.parity_gap:.1e}."
    ]
    for one in report.files:
        if one.float_layers and one.file:
            shown = ", ".join(one.float_layers[:3])
            more = len(one.float_layers) - 3
            parts.append(
                f"{one.precision} leaves {len(one.float_layers)} of {one.layers} layers in "
                f"float32: {shown}{f' and {more} more' if more > 0 else ''}."
            )
        if one.reason:
            parts.append(f"{one.precision} was not written: {one.reason}.")
    lines.append("")
    for part in parts:
        lines += textwrap.wrap(part, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [*lines, "", f"Written to {report.folder}", f"next:  {command}"]


def notes_on(run: Mapping[str, Any]) -> list[str]:
    """What a run does that its exported model does not, as lines for the terminal."""
    if (run.get("novelty") or {}).get("threshold") is None:
        return []
    return [
        "note: the exported model does not flag texts unlike the training data, as the run does: "
        "ONNX gives no states to compare them by"
    ]


def _score(files: list[ExportedFile]) -> str:
    exact = next(one for one in files if one.precision == "fp32")
    return f"{exact.drift.score_before:.4f}"


def _speed(one: ExportReport | ExportedFile) -> list[str]:
    return [f"{one.texts_per_second:,.1f}", f"{one.milliseconds:.1f}"]
