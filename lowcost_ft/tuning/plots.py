"""The plots of a tuning run: parallel coordinates of its trials, importances of its settings."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lowcost_ft.report.drawing import COLORS, HATCHES, LINES, Plot, draw, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_search"]

_ABSENT: Any = object()
"""What a trial tries of a setting whose own value in the recipe lies outside of the space."""


def draw_search(answer: Mapping[str, Any]) -> list[Plot]:
    """The plots for which there are enough trials.

    Args:
        answer: What was found.
    """
    scored = [trial for trial in answer["trials"] if trial["scores"]]
    plots = []
    if len(scored) > 1:
        plots.append(
            draw(
                "Trials",
                "Each line is a trial: its values, and on the right its validation score where it "
                "ended. Solid: trained to the end; dashed and dotted: ended earlier. Bold: the "
                "best.",
                lambda axes: _parallel(axes, answer, scored),
                height=4.2,
            )
        )
    if answer["importances"]:
        plots.append(
            draw(
                "Importance of the settings",
                "Share of the spread of scores at the first pause that each setting explains "
                "(fANOVA). With few trials it is rough.",
                lambda axes: _importances(axes, answer["importances"]),
                height=1.2 + 0.35 * len(answer["importances"]),
            )
        )
    return plots


def _parallel(axes: "Axes", answer: Mapping[str, Any], trials: Sequence[dict[str, Any]]) -> None:
    names = list(answer["space"])
    rungs = sorted({_last(trial) for trial in trials}, reverse=True)
    columns = [
        _heights(answer["space"][name], [t["params"].get(name, _ABSENT) for t in trials])
        for name in names
    ]
    scores = [trial["scores"][str(_last(trial))] for trial in trials]
    low, high = min(scores), max(scores)
    columns.append([(score - low) / (high - low) if high > low else 0.5 for score in scores])
    best = answer["best"] and answer["best"]["number"]
    places = list(range(len(columns)))
    for index, trial in enumerate(trials):
        rung = rungs.index(_last(trial))
        heights = [column[index] for column in columns]
        known = [(place, y) for place, y in zip(places, heights, strict=True) if y is not None]
        chosen = trial["number"] == best
        axes.plot(
            *zip(*known, strict=True),
            color=COLORS[(rung + 1) % len(COLORS)] if not chosen else COLORS[0],
            linestyle=LINES[rung % len(LINES)],
            linewidth=2.6 if chosen else 0.9,
            zorder=3 if chosen else 2,
            marker="o",
            markersize=5 if chosen else 3,
        )
    for place, name in enumerate(names):
        for height, text in _ticks(answer["space"][name]):
            axes.text(place + 0.04, height, short_name(text)[:14], fontsize=7, va="center")
    for height, score in ((0.0, low), (1.0, high)):
        axes.text(places[-1] + 0.04, height, f"{score:.3f}", fontsize=7, va="center")
    titles = [name.replace("_", "\n") for name in names] + [str(answer["metric"])]
    axes.set_xticks(places, titles)
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(columns) - 0.4)
    axes.grid(axis="x", visible=True)


def _last(trial: Mapping[str, Any]) -> int:
    return max(map(int, trial["scores"]))


def _heights(values: Any, tried: Sequence[Any]) -> list[float | None]:
    """Where values stand on an axis from 0 to 1; None where a trial has none."""
    if isinstance(values, list):
        most = max(1, len(values) - 1)
        return [values.index(value) / most if value in values else None for value in tried]
    scale = math.log if values.get("log") else float
    low, high = scale(values["low"]), scale(values["high"])
    return [None if v is _ABSENT else (scale(v) - low) / (high - low) for v in tried]


def _ticks(values: Any) -> list[tuple[float, str]]:
    if isinstance(values, list):
        most = max(1, len(values) - 1)
        return [(place / most, "all" if v is None else str(v)) for place, v in enumerate(values)]
    return [(0.0, f"{values['low']:.2g}"), (1.0, f"{values['high']:.2g}")]


def _importances(axes: "Axes", shares: Mapping[str, float]) -> None:
    ranked = sorted(shares.items(), key=lambda item: item[1])
    places = range(len(ranked))
    axes.barh(
        list(places),
        [share for _, share in ranked],
        height=0.6,
        color=COLORS[0],
        hatch=HATCHES[0],
        edgecolor="black",
        linewidth=0.5,
    )
    axes.set_yticks(list(places), [short_name(name.replace("_", " ")) for name, _ in ranked])
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the spread explained")
    axes.grid(axis="y", visible=False)
