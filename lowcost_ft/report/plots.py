"""The plots of a comparison: score, memory and speed against each other, over time, by part."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lowcost_ft.report.collect import Result
from lowcost_ft.report.drawing import (
    COLORS,
    HATCHES,
    Plot,
    budget_line,
    draw,
    legend,
    memory_unit,
    short_name,
    style_of,
)
from lowcost_ft.report.labels import metric_name
from lowcost_ft.report.reliability import reliability_plot
from lowcost_ft.report.rows import Comparison, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_plots"]


_PARTS = (
    *("weights", "adapter", "head", "gradients", "optimizer", "activations", "temporary"),
    "cuda_context",
)


def draw_plots(comparison: Comparison, memory_budget: float | None = None) -> list[Plot]:
    """The plots for which the rows hold numbers.

    Args:
        comparison: The rows. Nothing with time in it is drawn where they ran on several CPUs.
        memory_budget: Bytes; drawn as a line where memory is an axis.
    """
    rows = [row for row in comparison.rows if row.completed]
    name = metric_name(comparison.metric)
    costed = [row for row in rows if row.memory is not None]
    scored = [row for row in costed if row.score is not None]
    timed = [row for row in rows if _loss_points(row)]
    judged = [row for row in rows if _score_points(row)]
    plots = []
    if len(scored) > 1:
        plots.append(
            draw(
                "Score against memory",
                "Up and left is better. The bars are 95% intervals.",
                lambda axes: _score_memory(axes, comparison, scored, f"test {name}", memory_budget),
            )
        )
    # Speeds of several CPUs do not compare.
    places = len(comparison.devices)
    if len(costed) > 1 and places <= 1:
        plots.append(
            draw(
                "Memory against speed",
                "Up and left is better. Speed counts real tokens, without padding.",
                lambda axes: _memory_speed(axes, comparison, costed, memory_budget),
            )
        )
    if timed and places <= 1:
        plots.append(
            draw(
                "Training loss over time",
                "Seconds of training steps, evaluation and building of caches left out; the first "
                f"seed of each row.{_left_out(rows, timed)}",
                lambda axes: _curves(axes, comparison, timed, _loss_points, "loss", log=True),
            )
        )
    if judged and places <= 1:
        plots.append(
            draw(
                "Validation score over time",
                f"One point an epoch; the first seed of each row.{_left_out(rows, judged)}",
                lambda axes: _curves(axes, comparison, judged, _score_points, f"validation {name}"),
            )
        )
    if (reliability := reliability_plot(comparison)) is not None:
        plots.append(reliability)
    parted = [row for row in comparison.rows if _memory_parts(row.results[0])]
    if parted:
        plots.append(
            draw(
                "Memory by part",
                "As predicted for the costliest step; the diamond is what was measured.",
                lambda axes: _parts(axes, parted, memory_budget or _budget_of(parted)),
                height=1.6 + 0.42 * len(parted),
            )
        )
    return plots


def _left_out(rows: Sequence[Row], shown: Sequence[Row]) -> str:
    missing = [row.label for row in rows if row not in shown]
    return f" Not recorded: {', '.join(missing)}." if missing else ""


def _points(
    axes: "Axes",
    comparison: Comparison,
    rows: Sequence[Row],
    heights: Sequence[float],
    errors: Sequence[tuple[float, float] | None],
) -> float:
    unit, name = memory_unit(max(row.memory or 0.0 for row in rows))
    for row, height, error in zip(rows, heights, errors, strict=True):
        color, marker, _ = style_of(comparison, row)
        bars = None if error is None else [[height - error[0]], [error[1] - height]]
        axes.errorbar(
            [(row.memory or 0.0) / unit],
            [height],
            yerr=bars,
            marker=marker,
            markersize=8,
            markeredgecolor="black",
            markeredgewidth=0.6,
            color=color,
            linestyle="none",
            capsize=3,
            label=short_name(row.label),
        )
    axes.set_xlabel(f"peak memory of a training step ({name})")
    axes.set_xlim(0, 1.08 * max(row.memory or 0.0 for row in rows) / unit)
    legend(axes, len(rows))
    return unit


def _score_memory(
    axes: "Axes",
    comparison: Comparison,
    rows: Sequence[Row],
    metric: str,
    budget: float | None,
) -> None:
    scores = [row.score or 0.0 for row in rows]
    unit = _points(axes, comparison, rows, scores, [row.interval for row in rows])
    axes.set_ylabel(metric)
    budget_line(axes, budget, unit)


def _memory_speed(
    axes: "Axes", comparison: Comparison, rows: Sequence[Row], budget: float | None
) -> None:
    speeds = [row.speed or 0.0 for row in rows]
    unit = _points(axes, comparison, rows, speeds, [None] * len(rows))
    axes.set_ylabel("real tokens/s")
    axes.set_ylim(0, 1.08 * max(speeds) or 1)
    budget_line(axes, budget, unit)


def _curves(
    axes: "Axes",
    comparison: Comparison,
    rows: Sequence[Row],
    points: Callable[[Row], list[tuple[float, float]]],
    label: str,
    *,
    log: bool = False,
) -> None:
    for row in rows:
        color, marker, line = style_of(comparison, row)
        known = points(row)
        axes.plot(
            [seconds for seconds, _ in known],
            [value for _, value in known],
            color=color,
            linestyle=line,
            linewidth=1.4,
            marker=marker,
            markersize=5,
            markeredgecolor="black",
            markeredgewidth=0.4,
            markevery=max(1, len(known) // 8),
            label=short_name(row.label),
        )
    from matplotlib.ticker import LogLocator

    if log and all(value > 0 for row in rows for _, value in points(row)):
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel("seconds")
    axes.set_xlim(left=0)
    axes.set_ylabel(label)
    legend(axes, len(rows))


def _loss_points(row: Row) -> list[tuple[float, float]]:
    return _history(row, "loss_history", "loss")


def _score_points(row: Row) -> list[tuple[float, float]]:
    return _history(row, "validation_history", str(row.metric))


def _history(row: Row, name: str, key: str) -> list[tuple[float, float]]:
    """(seconds, value) of a row's first run; nothing where times were not recorded."""
    if not row.completed:
        return []
    entries = row.completed[0].rows("train", name)
    pairs = [(entry.get("seconds"), entry.get(key)) for entry in entries]
    return [
        (float(seconds), float(value))
        for seconds, value in pairs
        if isinstance(seconds, int | float) and isinstance(value, int | float)
    ]


def _memory_parts(result: Result) -> dict[str, float]:
    """Predicted bytes by part; the order of the record."""
    parts = result.table("memory_plan", "parts")
    return {
        name: float(size)
        for name, size in parts.items()
        if isinstance(size, int | float) and math.isfinite(size) and size > 0
    }


def _budget_of(rows: Sequence[Row]) -> float | None:
    """The budget that all rows were planned for, if it is one."""
    budgets = {row.results[0].number("memory_plan", "budget_bytes") for row in rows}
    return budgets.pop() if len(budgets) == 1 else None


def _parts(axes: "Axes", rows: Sequence[Row], budget: float | None) -> None:
    # The allocator, which measures, knows nothing of a GPU's context; a budget is for that, too.
    left_out = () if budget else ("cuda_context",)
    parts = [
        {n: size for n, size in _memory_parts(row.results[0]).items() if n not in left_out}
        for row in rows
    ]
    unit, shown = memory_unit(max(sum(sizes.values()) for sizes in parts))
    found = dict.fromkeys(name for sizes in parts for name in sizes)
    # In the same order, and so in the same colours, in each section of a report.
    names = [name for name in _PARTS if name in found]
    names += [name for name in found if name not in names]
    numbers = [*_PARTS, *names]
    places = list(range(len(rows)))
    left = [0.0] * len(rows)
    for name in names:
        index = numbers.index(name)
        widths = [sizes.get(name, 0.0) / unit for sizes in parts]
        axes.barh(
            places,
            widths,
            left=left,
            height=0.6,
            color=COLORS[index % len(COLORS)],
            hatch=HATCHES[index % len(HATCHES)],
            edgecolor="black",
            linewidth=0.5,
            label=short_name(name.replace("_", " ")),
        )
        left = [start + width for start, width in zip(left, widths, strict=True)]
    measured = [
        (row.memory / unit, place) for row, place in zip(rows, places, strict=True) if row.memory
    ]
    if measured:
        axes.plot(
            *zip(*measured, strict=True),
            "D",
            color="white",
            markeredgecolor="black",
            label="measured",
        )
    axes.set_yticks(places, [short_name(row.label) for row in rows])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"memory ({shown})")
    axes.margins(x=0.05)
    budget_line(axes, budget, unit)
    legend(axes, len(names))
