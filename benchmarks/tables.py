"""Writes the tables of the README from the committed results: `make results`.

Everything between two markers such as `<!-- results -->` and `<!-- /results -->` is replaced. The
tables of results are those of `lowcost-ft report benchmarks/results`, with fewer columns.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from support_tables import support_tables

from lowcost_ft.report.advice import advise
from lowcost_ft.report.collect import Result, collect
from lowcost_ft.report.numbers import ratio_text
from lowcost_ft.report.rows import Comparison, Row, compare
from lowcost_ft.report.tables import comparison_table, markdown_table, markdown_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
_LEFT_OUT = ("a step", "training")


def results_tables() -> str:
    """A table a data set, each with what follows from it, and the comparison with Trainer."""
    comparisons = compare(_committed())
    parts = [_section(comparison) for comparison in comparisons]
    speeds = [_speed_line(file) for file in sorted(RESULTS.glob("speed-*.json"))]
    memory = [_memory_line(file) for file in sorted((RESULTS / "memory").glob("*.json"))]
    return "\n\n".join([*parts, *speeds, *memory])


def _committed() -> list[Result]:
    results, _ = collect([str(RESULTS)]) if list(RESULTS.glob("*.json")) else ([], [])
    return results


def _section(comparison: Comparison) -> str:
    table = comparison_table(comparison, None)
    kept = [index for index, name in enumerate(table.columns) if name not in _LEFT_OUT]
    rows = [[row[index] for index in kept] for row in table.rows]
    models = sorted({row.model for row in comparison.rows})
    threads = sorted({str(row.results[0].get("hardware", "threads")) for row in comparison.rows})
    on = f"{' and '.join(threads)} thread{'s' * (threads != ['1'])}"
    title = f"{comparison.title}, {on}, {', '.join(models)}"
    advice = advise(comparison)
    sentences = [advice.headline, *(_extremes(comparison) if len(comparison.rows) > 1 else [])]
    return "\n\n".join(
        [
            f"**{markdown_text(title)}**",
            markdown_table([table.columns[index] for index in kept], rows),
            markdown_text(" ".join(sentences)),
        ]
    )


def _extremes(comparison: Comparison) -> list[str]:
    """The least memory and the highest speed, as ratios to the usual ways of training."""
    rows = [row for row in comparison.rows if row.completed]
    least = min(rows, key=lambda row: row.memory or float("inf"))
    fastest = max(rows, key=lambda row: row.speed or 0.0)
    return [
        f"Least memory: {least.label}{_ratios(comparison, least, 'memory')}.",
        f"Fastest: {fastest.label}{_ratios(comparison, fastest, 'speed')}.",
    ]


def _ratios(comparison: Comparison, row: Row, what: str) -> str:
    usual = [row for row in comparison.rows if row.results[0].get("method") == "trainer-peft"]
    full = comparison.full(row)
    return "".join(
        f", {ratio} of {other.label}"
        for other in [*([full] if full else []), *usual]
        if other is not row and (ratio := ratio_text(getattr(row, what), getattr(other, what)))
    )


def _speed_line(file: Path) -> str:
    """Speeds as multiples of `Trainer` with peft, measured in turns on one machine."""
    result = json.loads(file.read_text("utf-8"))
    arms = {name: arm.get("over_trainer_peft") for name, arm in result["arms"].items()}
    known = [f"{name} {ratio:.2f}x" for name, ratio in arms.items() if ratio is not None]
    data = result["config"].get("train_file") or "embedded sample"
    threads = result["hardware"]["threads"]
    on = f"{threads} thread{'s' * (threads != 1)}"
    return markdown_text(
        f"Speed in turns on {data}, {on}, as multiples of Trainer with peft "
        f"(benchmarks/compare_speed.py): {', '.join(known)}."
    )


SECTIONS: dict[str, Callable[[], str]] = {"results": results_tables, "support": support_tables}


def _memory_line(file: Path) -> str:
    """How far predicted peak memory is from the measured one."""
    result = json.loads(file.read_text("utf-8"))
    summary = result["summary"]
    device = {"cpu": "a CPU", "cuda": "a GPU"}[result["device"]]
    return markdown_text(
        f"Predicted against measured peak memory of {summary['points']} training steps on {device} "
        f"(benchmarks/memory_accuracy.py): off by {summary['median']:.4%} in the median, "
        f"{summary['percentile_95']:.3%} at the 95th percentile, {summary['worst']:.3%} at worst; "
        f"too low by more than 1% in {summary['share_under_by_1_percent']:.0%} of them, by "
        f"anything in {summary['share_under']:.0%}."
    )


def with_results(readme: str) -> str:
    """The README with its tables made anew."""
    for name, make in SECTIONS.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, found, rest = readme.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"README.md has no {begin} ... {end}")
        readme = f"{before}{begin}\n{make()}\n{end}{after}"
    return readme


def main() -> int:
    """Rewrites README.md."""
    README.write_text(with_results(README.read_text("utf-8")), "utf-8")
    print(f"{README.name} is up to date with {len(_committed())} results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
