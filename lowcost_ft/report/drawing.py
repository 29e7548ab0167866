"""How plots look, whatever they show.

Each row keeps one colour (Okabe and Ito's palette, which colour-blind readers can tell apart), one
marker and one line style through all plots, so that they can be read in black and white, too.
"""

import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lowcost_ft.errors import UserError
from lowcost_ft.report.rows import Comparison, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLORS",
    "GLYPHS",
    "HATCHES",
    "LINES",
    "MARKERS",
    "Plot",
    "budget_line",
    "check_libraries",
    "draw",
    "legend",
]
__all__ += ["memory_unit", "short_name", "style_of"]

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GLYPHS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "★")
"""The markers as characters, for tables."""
LINES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++", "oo", "--", "**")
_LONGEST_NAME = 40
_STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # a label with $ in it is a label
    "svg.fonttype": "path",  # looks the same wherever it is opened
    "svg.hashsalt": "lowcost_ft",  # the same plot is the same file
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot: its title, what it shows in a sentence, and the SVG."""

    title: str
    caption: str
    svg: str


def check_libraries() -> None:
    """Raises `UserError` where what draws and lays out the page is not installed."""
    missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"an HTML report needs {' and '.join(missing)}: pip install 'lowcost_ft[report]'; or "
            "write one without plots: --output report.md or report.csv"
        )


def draw(title: str, caption: str, paint: Callable[["Axes"], None], *, height: float = 3.7) -> Plot:
    """Lets `paint` fill a figure of its own, and writes it as SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    # A script that this figure's font lacks shows as boxes; a warning for each would tell no more.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        figure = Figure(figsize=(5.6, height), layout="constrained")
        paint(figure.subplots())
        return Plot(title=title, caption=caption, svg=_svg(figure))


def _svg(figure: "Figure") -> str:
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", metadata=nothing)
    text = file.getvalue()
    return text[text.index("<svg") :]


def style_of(comparison: Comparison, row: Row) -> tuple[str, str, str]:
    """Colour, marker and line style of a row: the same in every plot and in the tables."""
    index = comparison.rows.index(row)
    turn = index // len(COLORS)
    color = COLORS[index % len(COLORS)]
    return color, MARKERS[(index + turn) % len(MARKERS)], LINES[index % len(LINES)]


def short_name(text: str) -> str:
    """A label that fits a legend, without characters that cannot be drawn."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 3] + "..."


def memory_unit(largest: float) -> tuple[float, str]:
    """Bytes of the unit for values up to `largest`, and its name."""
    return (1e9, "GB") if largest >= 1e10 else (1e6, "MB")


def budget_line(axes: "Axes", budget: float | None, unit: float) -> None:
    """A vertical line at the budget, where there is one, on an axis of memory."""
    if budget is not None:
        axes.axvline(budget / unit, color="black", linestyle="--", linewidth=1)
        axes.annotate(
            "budget",
            (budget / unit, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -9),
            textcoords="offset points",
            fontsize=8,
        )


def legend(axes: "Axes", count: int) -> None:
    """The legend, below the plot."""
    figure = axes.figure
    assert figure is not None
    figure.legend(
        loc="outside lower center", ncols=2 if count > 1 else 1, frameon=False, fontsize=8
    )
