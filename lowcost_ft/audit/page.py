"""What an audit has found as one HTML page, in the look of the reports."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lowcost_ft.audit.answer import flips_line, headline
from lowcost_ft.report.drawing import COLORS, Plot, draw
from lowcost_ft.report.labels import metric_name
from lowcost_ft.report.page_parts import rendered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["page"]

_ROW_INCHES = 0.28


def page(found: Mapping[str, Any], *, run: str, test_file: str) -> str:
    """The page.

    Args:
        found: What `audit` returns.
        run: Folder of the run.
        test_file: The labelled file.

    Raises:
        UserError: The libraries of the extra `report` are missing.
    """
    return rendered(
        "lowcost_ft.audit",
        title=f"Are groups treated alike by {run}?",
        test_file=test_file,
        metric=metric_name(found["metric"]),
        headline=_capital(headline(found)),
        found=found,
        titles={name: _capital(name) for name in found["attributes"]},
        flips={name: _capital(flips_line(told)) for name, told in found["attributes"].items()},
        plots=_plots(found),
        examples={
            name: [_shown(example) for example in examples]
            for name, examples in found["examples"].items()
            if examples
        },
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shown(example: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **example,
        "versions": [
            {
                **version,
                "text": " | ".join(version["texts"]),
                "answer": json.dumps(version["answer"], ensure_ascii=False, default=str),
            }
            for version in example["versions"]
        ],
    }


def _plots(found: Mapping[str, Any]) -> list[Plot]:
    rows = [
        (f"{name}: {one['group']}", one)
        for name, told in found["attributes"].items()
        for one in told["comparisons"]
    ]
    return [
        draw(
            "Differences between groups",
            "The value that differs most in each comparison, with its 95% interval; filled where "
            "a difference is found. Between the dashed lines nothing is reported.",
            lambda axes: _forest(axes, rows, found),
            height=1.2 + _ROW_INCHES * len(rows),
        )
    ]


def _forest(
    axes: "Axes", rows: Sequence[tuple[str, Mapping[str, Any]]], found: Mapping[str, Any]
) -> None:
    for place, (_, one) in enumerate(rows):
        low, high = one["ci95"]
        axes.plot([low, high], [place, place], color=COLORS[0], linewidth=1.2)
        axes.plot(
            [one["difference"]],
            [place],
            marker="o",
            markersize=6,
            color=COLORS[0],
            markerfacecolor=COLORS[0] if one["found"] else "white",
        )
    for edge in (-found["least_difference"], found["least_difference"]):
        axes.axvline(edge, color="#57606a", linestyle="--", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel(f"difference ({found['unit']})")
