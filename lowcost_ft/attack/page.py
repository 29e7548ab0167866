"""What an attack has found as one HTML page with its curves, in the look of the reports."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lowcost_ft.report.drawing import COLORS, LINES, MARKERS, Plot, draw, legend
from lowcost_ft.report.labels import metric_name
from lowcost_ft.report.page_parts import rendered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["page"]


def page(found: Mapping[str, Any], *, run: str, test_file: str) -> str:
    """The page.

    Args:
        found: What `attack` returns.
        run: Folder of the run.
        test_file: The labelled file.

    Raises:
        UserError: The libraries of the extra `report` are missing.
    """
    return rendered(
        "lowcost_ft.attack",
        title=f"What breaks {run}",
        test_file=test_file,
        metric=metric_name(found["metric"]),
        found=found,
        plots=_plots(found),
        examples=[
            {
                **{name: example[name] for name in ("source", "texts", "changed")},
                "answers": [
                    json.dumps(example[name], ensure_ascii=False, default=str)
                    for name in ("truth", "answer", "changed_answer")
                ],
            }
            for example in found.get("examples", ())
        ],
    )


def _plots(found: Mapping[str, Any]) -> list[Plot]:
    plots = []
    if found["noise"]:
        plots.append(
            draw(
                "Mistakes at random",
                "Score by the share of the words with a mistake; the bars are 95% intervals.",
                lambda axes: _noise_curves(axes, found),
            )
        )
    if "worst_case" in found:
        plots.append(
            draw(
                "The worst case",
                "Score by the number of edits in each text: found by search, and at random.",
                lambda axes: _worst_curve(axes, found),
            )
        )
    return plots


def _noise_curves(axes: "Axes", found: Mapping[str, Any]) -> None:
    for index, (kind, levels) in enumerate(found["noise"].items()):
        _curve(axes, found, [(level["share"] * 100, level) for level in levels], kind, index)
    axes.set_xlabel("words with a mistake (%)")
    axes.set_ylabel(metric_name(found["metric"]))
    legend(axes, len(found["noise"]))


def _worst_curve(axes: "Axes", found: Mapping[str, Any]) -> None:
    levels = found["worst_case"]["edits"]
    _curve(axes, found, [(level["edits"], level) for level in levels], "worst case", 1)
    _curve(axes, found, [(level["edits"], level["random"]) for level in levels], "at random", 0)
    axes.set_xticks(range(len(levels) + 1))
    axes.set_xlabel("most edits of a text")
    axes.set_ylabel(metric_name(found["metric"]))
    legend(axes, 2)


def _curve(
    axes: "Axes",
    found: Mapping[str, Any],
    levels: list[tuple[float, Mapping[str, Any]]],
    name: str,
    index: int,
) -> None:
    points = [(0.0, found["clean"]), *levels]
    scores = [level["score"] for _, level in points]
    bars = [
        [score - level["ci95"][0] for score, (_, level) in zip(scores, points, strict=True)],
        [level["ci95"][1] - score for score, (_, level) in zip(scores, points, strict=True)],
    ]
    axes.errorbar(
        [place for place, _ in points],
        scores,
        yerr=[[max(0.0, value) for value in side] for side in bars],
        color=COLORS[index % len(COLORS)],
        marker=MARKERS[index % len(MARKERS)],
        linestyle=LINES[index % len(LINES)],
        markersize=5,
        capsize=2,
        linewidth=1.2,
        label=name,
    )
