"""The comparison as a table of cells, in Markdown, and as CSV with one line a run."""

import csv
import io
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lowcost_ft.report.advice import not_clearly_worse
from lowcost_ft.report.collect import Result
from lowcost_ft.report.labels import data_name, device, metric_name
from lowcost_ft.report.numbers import memory_text, ratio_text, score_text, seconds_text
from lowcost_ft.report.rows import Comparison, Row, main_metric

__all__ = ["Cell", "Table", "comparison_table", "markdown_table", "results_csv", "target_score"]

_TARGET_SHARE = 0.95


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell: `text`, smaller `detail` below it, and whether it is the best of its column."""

    text: str
    detail: str = ""
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Names of the columns, and a row of cells for each row of the comparison."""

    columns: list[str]
    rows: list[list[Cell]]


def target_score(comparison: Comparison, given: float | None = None) -> float | None:
    """The validation score that "time to" means.

    Args:
        comparison: The rows.
        given: The user's own choice.

    Returns:
        `given`, or 95% of the mean best score of full fine-tuning (without such a row, of the
        highest row); None where no validation scores are recorded.
    """
    if given is not None:
        return given
    best = {row.label: _best_validation(row) for row in comparison.rows}
    full = [best[row.label] for row in comparison.rows if row is comparison.full(row)]
    # A score of nothing is reached at once, and says nothing of the time.
    known = [s for s in full if s and s > 0] or [s for s in best.values() if s and s > 0]
    return _TARGET_SHARE * max(known) if known else None


def comparison_table(
    comparison: Comparison, target: float | None, budget: float | None = None
) -> Table:
    """The rows of a comparison with what they gave and cost; columns of nothing are left out.

    Args:
        comparison: The rows.
        target: Validation score for the time to it, or None to leave that column out.
        budget: Bytes that there are; rows that need more are marked.
    """
    rows, name = comparison.rows, metric_name(comparison.metric)
    best = max((row for row in rows if row.score is not None), key=_score, default=None)
    columns: list[tuple[str, list[Cell]]] = [
        ("method", [Cell(text=row.label, detail=row.status) for row in rows]),
        ("seeds", [Cell(text=str(len(row.completed) or len(row.results))) for row in rows]),
        (
            f"test {name} (95% interval)",
            [_score_cell(row, best) for row in rows],
        ),
    ]

    if several := len(comparison.devices) > 1:
        columns.append(("device", [Cell(text=row.device) for row in rows]))

    def measured(
        column: str,
        value: Callable[[Row], float | None],
        text: Callable[[float], str],
        pick: Any,
        *,
        timed: bool = False,
    ) -> None:
        values = {row.label: value(row) if row.completed else None for row in rows}
        known = [number for number in values.values() if number is not None]
        comparable = pick is not None and not (timed and several)
        top = pick(known) if comparable and len(known) > 1 else None
        cells = []
        for row in rows:
            number, reference = values[row.label], comparison.full(row)
            if number is None:
                cells.append(Cell(text=""))
                continue
            if timed and reference and reference.device != row.device:
                reference = None
            other = values[reference.label] if reference and reference is not row else None
            ratio = ratio_text(number, other) if pick is not None else ""
            cells.append(
                Cell(
                    text=text(number),
                    detail=f"{ratio} of full" if ratio else "",
                    best=number == top,
                )
            )
        if known:
            columns.append((column, cells))

    measured("peak memory", lambda row: row.memory, memory_text, min)
    if budget is not None and columns[-1][0] == "peak memory":
        columns[-1] = ("peak memory", _over(columns[-1][1], rows, budget))
    measured("tokens/s", lambda row: row.speed, lambda value: f"{value:,.0f}", max, timed=True)
    if columns[-1][0] == "tokens/s":
        columns[-1] = ("tokens/s", _with_share(_with_spread(columns[-1][1], rows), rows))
    measured("a step", lambda row: _seconds_per_step(row), seconds_text, min, timed=True)
    measured("training", lambda row: row.training_seconds, seconds_text, min, timed=True)
    if target is not None:
        until = f"time to validation {name} {target:.3f}"
        measured(until, lambda row: _median_time(row, target), seconds_text, min, timed=True)
        if columns[-1][0] != until:
            columns.append((until, [Cell(text="") for _ in rows]))
        columns[-1] = (until, _without_time(columns[-1][1], rows, target))
    measured("trained", lambda row: row.trained_share, lambda value: f"{value:.2%}", None)
    measured("saved", lambda row: row.median("saved_bytes"), memory_text, min)
    kept = [(name, cells) for name, cells in columns if any(cell.text for cell in cells)]
    return Table(
        columns=[name for name, _ in kept],
        rows=[[cells[index] for _, cells in kept] for index in range(len(rows))],
    )


def _over(cells: Sequence[Cell], rows: Sequence[Row], budget: float) -> list[Cell]:
    return [
        replace(cell, detail=f"{cell.detail}, over {memory_text(budget)}".removeprefix(", "))
        if row.memory is not None and row.memory > budget
        else cell
        for cell, row in zip(cells, rows, strict=True)
    ]


def _with_spread(cells: Sequence[Cell], rows: Sequence[Row]) -> list[Cell]:
    """Adds the slowest and the fastest seed, which may have shared the machine differently."""
    spread = []
    for cell, row in zip(cells, rows, strict=True):
        speeds = [result.number("train", "real_tokens_per_second") for result in row.completed]
        known = sorted(speed for speed in speeds if speed is not None)
        if len(known) > 1:
            ends = f"{known[0]:,.0f} to {known[-1]:,.0f}"
            cell = replace(cell, detail=f"{cell.detail}; {ends}".removeprefix("; "))
        spread.append(cell)
    return spread


def _with_share(cells: Sequence[Cell], rows: Sequence[Row]) -> list[Cell]:
    """Adds the share of the CPU that a speed was had with."""
    return [
        replace(cell, detail=f"{cell.detail}; {row.cpu_share:.0%} of the CPU".removeprefix("; "))
        if row.completed and cell.text and row.cpu_share is not None
        else cell
        for cell, row in zip(cells, rows, strict=True)
    ]


def _median_time(row: Row, target: float) -> float | None:
    times = row.seconds_to(target)
    reached = [time for time in times if time is not None]
    return statistics.median(reached) if reached and len(reached) == len(times) else None


def _without_time(cells: Sequence[Cell], rows: Sequence[Row], target: float) -> list[Cell]:
    """Says of each empty cell why there is no time to the score."""
    filled = []
    for cell, row in zip(cells, rows, strict=True):
        times = row.seconds_to(target)
        reached = sum(time is not None for time in times)
        why = f"{reached} of {len(times)} seeds" if reached else "not reached"
        text = cell.text or (why if times else "not recorded" * bool(row.completed))
        filled.append(replace(cell, text=text))
    return filled


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A Markdown table; best cells in bold, details in brackets."""
    lines = ["| " + " | ".join(map(markdown_text, columns)) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = []
        for cell in row:
            text = markdown_text(cell.text)
            text = f"**{text}**" if cell.best and text else text
            cells.append(text + (f" ({markdown_text(cell.detail)})" if cell.detail else ""))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def markdown_text(text: str) -> str:
    """A text that stays text in Markdown, and within its cell."""
    shown = " ".join(text.split())
    for character in "\\`*_{}[]<>|#~$":
        shown = shown.replace(character, "\\" + character)
    return shown.replace("\\<", "&lt;").replace("\\>", "&gt;")


def results_csv(comparisons: Sequence[Comparison], given_target: float | None = None) -> str:
    """One line a run, numbers as they were recorded, in the order of the tables."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    lines = [
        _csv_fields(comparison, row, result, target_score(comparison, given_target))
        for comparison in comparisons
        for row in comparison.rows
        for result in row.results
    ]
    writer.writerow(lines[0])
    writer.writerows([_csv_value(value) for value in line.values()] for line in lines)
    return file.getvalue()


def _csv_fields(
    comparison: Comparison, row: Row, result: Result, target: float | None
) -> dict[str, Any]:
    metric = main_metric(result)
    one = Row(label=row.label, results=[result], metric=metric)
    low, high = one.interval or (None, None)
    train = {
        name: result.get("train", name)
        for name in (
            *("peak_memory_bytes", "predicted_peak_memory_bytes", "peak_memory_source"),
            *("real_tokens_per_second", "padding_share", "optimizer_steps", "seconds"),
            *("cache_seconds", "seconds_per_step", "cpu_share"),
        )
    }
    return {
        "name": result.name,
        "row": row.label,
        "status": result.get("status"),
        "task": result.get("task"),
        "data": data_name(result),
        "model_id": result.get("model_id"),
        "method": result.get("method"),
        "quantization": result.get("config", "quantization"),
        "seed": result.get("seed"),
        "metric": metric,
        "test_score": result.number("evaluation", "test", str(metric)),
        "ci95_low": low,
        "ci95_high": high,
        **train,
        "target_validation_score": target,
        "seconds_to_target": None if target is None else _median_time(one, target),
        "trainable_parameters": result.get("parameters", "trainable"),
        "parameters": result.get("parameters", "total"),
        "saved_bytes": result.get("saved_bytes"),
        "device": device(result),
        "threads": result.get("hardware", "threads"),
        "commit": result.get("git", "commit"),
        "data_fingerprint": result.get("data", "fingerprint"),
    }


def _csv_value(value: Any) -> Any:
    # A spreadsheet would take such a text for a formula, and run it.
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def _score(row: Row) -> float:
    return row.score if row.score is not None else -1.0


def _score_cell(row: Row, best: Row | None) -> Cell:
    scores = row.scores()
    detail = "by seed " + ", ".join(f"{score:.3f}" for score in scores) if len(scores) > 1 else ""
    alike = best is not None and row is not best and not_clearly_worse(row, best)
    text = score_text(row.score, row.interval)
    return Cell(text=text + " ≈" * alike, detail=detail, best=row is best)


def _seconds_per_step(row: Row) -> float | None:
    recorded = row.median("train", "seconds_per_step")
    seconds, steps = row.median("train", "seconds"), row.median("train", "optimizer_steps")
    return recorded or (seconds / steps if seconds and steps else None)


def _best_validation(row: Row) -> float | None:
    best = []
    for result in row.completed:
        history = result.rows("train", "validation_history")
        scores = [epoch.get(str(row.metric)) for epoch in history]
        known = [score for score in scores if isinstance(score, int | float)]
        if known:
            best.append(max(known))
    return sum(best) / len(best) if best else None
