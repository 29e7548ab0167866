"""Whether scores tell how often answers are right: a table, and the reliability plot."""

from typing import TYPE_CHECKING, Any

from lowcost_ft.report.collect import Result
from lowcost_ft.report.drawing import Plot, draw, legend, short_name, style_of
from lowcost_ft.report.numbers import score_text
from lowcost_ft.report.rows import Comparison, Row
from lowcost_ft.report.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["calibration_table", "reliability_plot"]


def calibration_table(comparison: Comparison) -> Table | None:
    """Calibration error before and after, of the first seed of each row; None without any."""
    rows = []
    for row in comparison.rows:
        for result in row.completed[:1]:
            errors = _errors(result)
            if errors is None:
                continue
            split, calibration = errors
            rows.append(
                [
                    Cell(text=row.label),
                    Cell(text=f"{result.number('calibration', 'temperature'):.2f}"),
                    *(_error_cell(calibration[name]) for name in ("before", "after")),
                    Cell(text=_answers(calibration, split)),
                    Cell(text=_out_of_scope(result)),
                ]
            )
    if not rows:
        return None
    columns = ["scores", "temperature", "error before", "error after", "measured on"]
    return Table(columns=[*columns, "AUROC out of scope"], rows=rows)


def reliability_plot(comparison: Comparison) -> Plot | None:
    """Share of right answers against their score, before and after; None without any."""
    shown = [row for row in comparison.rows if row.completed and _errors(row.completed[0])]
    if not shown:
        return None
    return draw(
        "Reliability of the scores",
        "15 bins of equally many answers; on the diagonal a score is the share of right answers. "
        "Filled: calibrated, as `predict` shows them; hollow: the model's own. First seed.",
        lambda axes: _curves(axes, comparison, shown),
    )


def _errors(result: Result) -> tuple[str, dict[str, Any]] | None:
    """The split that tells most, and what was measured on it."""
    for split in ("test", "validation"):
        found = result.table("calibration", split)
        parts = [found.get(name) for name in ("before", "after")]
        if all(isinstance(part, dict) and part.get("bins") for part in parts):
            return split, found
    return None


def _error_cell(measured: dict[str, Any]) -> Cell:
    low, high = measured["ece_ci95"]
    calibrated = measured["p_calibrated"] > 0.05
    detail = "not distinguishable from 0" if calibrated else ""
    return Cell(text=score_text(measured["ece"], (low, high)), detail=detail)


def _answers(calibration: dict[str, Any], split: str) -> str:
    answers = calibration["after"]["answers"]
    fitted = ", which fitted them" if split == "validation" else ""
    return f"{answers:,} {split} answers{fitted}"


def _out_of_scope(result: Result) -> str:
    found = result.table("novelty", "out_of_scope")
    if not found:
        return ""
    low, high = found["auroc_ci95"]
    return score_text(found["auroc"], (low, high))


def _curves(axes: "Axes", comparison: Comparison, rows: list[Row]) -> None:
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.8)
    for row in rows:
        errors = _errors(row.completed[0])
        assert errors is not None
        color, marker, line = style_of(comparison, row)
        for name, filled in (("before", False), ("after", True)):
            bins = errors[1][name]["bins"]
            axes.plot(
                [one["score"] for one in bins],
                [one["right"] for one in bins],
                color=color,
                marker=marker,
                linestyle=line,
                linewidth=1.2 if filled else 0.7,
                markersize=5,
                markerfacecolor=color if filled else "white",
                markeredgecolor="black" if filled else color,
                markeredgewidth=0.5,
                label=short_name(row.label if filled else f"{row.label}, before"),
            )
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("score")
    axes.set_ylabel("share of right answers")
    legend(axes, 2 * len(rows))
