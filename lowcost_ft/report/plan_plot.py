"""The parts of a memory plan as a plot (`lowcost-ft plan --plot`)."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lowcost_ft.errors import UserError

if TYPE_CHECKING:
    from lowcost_ft.planning.budget import Plan

__all__ = ["check_plot", "draw_plan"]


def check_plot(file: str) -> None:
    """Refuses a file that could not be written in the end.

    Raises:
        UserError: Every reason at once.
    """
    problems = []
    if Path(file).suffix.lower() not in (".png", ".svg", ".pdf"):
        problems.append(f"--plot {file}: name a .png, .svg or .pdf file")
    if not Path(file).absolute().parent.is_dir():
        problems.append(f"--plot {file}: there is no folder {Path(file).parent}")
    if find_spec("matplotlib") is None:
        problems.append("--plot needs matplotlib: pip install 'lowcost_ft[report]'")
    if problems:
        raise UserError(problems)


def draw_plan(file: str, found: "Plan", budget: int | None, *, title: str) -> None:
    """A bar of all parts, one after the other, and the budget as a line."""
    from matplotlib.figure import Figure  # Part of an extra.

    from lowcost_ft.report.drawing import COLORS, HATCHES

    parts = found.prediction.parts | {"context": found.prediction.context_bytes}
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = figure.subplots()
    left = 0.0
    for number, (part, size) in enumerate(p for p in parts.items() if p[1]):
        axes.barh(
            [0],
            [size / 1e6],
            left=left,
            height=0.5,
            label=part,
            color=COLORS[number % len(COLORS)],
            hatch=HATCHES[number % len(HATCHES)],
            edgecolor="white",
        )
        left += size / 1e6
    if budget is not None:
        axes.axvline(budget / 1e6, color="black", linestyle="--", label="budget")
    axes.set_yticks([])
    axes.set_xlabel("MB at the peak of a training step")
    axes.set_title(Path(title).name if Path(title).exists() else title, parse_math=False)
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(file, dpi=150)
