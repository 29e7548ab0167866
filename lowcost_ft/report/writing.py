"""Reports as HTML, Markdown or CSV, by the extension of the file."""

from collections.abc import Sequence
from pathlib import Path

from lowcost_ft.errors import UserError
from lowcost_ft.record.overwriting import check_not_read
from lowcost_ft.record.run_file import RUN_FILE, write_atomically
from lowcost_ft.record.run_folder import files_of_run
from lowcost_ft.report.collect import Result, collect
from lowcost_ft.report.drawing import COLORS, GLYPHS, check_libraries
from lowcost_ft.report.grouping import compare
from lowcost_ft.report.page_parts import rendered
from lowcost_ft.report.plots import draw_plots
from lowcost_ft.report.sections import READING, Options, Section, build_section
from lowcost_ft.report.tables import Cell, markdown_table, markdown_text, results_csv

__all__ = ["Options", "write_report"]

_KINDS = (".html", ".md", ".csv")


def write_report(
    paths: Sequence[str], output: str | Path, options: Options | None = None
) -> list[str]:
    """Writes a report about runs.

    Args:
        paths: Run folders, `run.json` and result files, and folders that hold such.
        output: The file: `.html` (one page that needs nothing else), `.md` or `.csv`.
        options: How it is made.

    Returns:
        What the user should know: what was left out.

    Raises:
        UserError: A path holds no run, the extension is another, the folder is missing, or a
            library is.
    """
    options = options or Options()
    file = Path(output)
    kind = file.suffix.lower()
    problems = []
    if kind not in _KINDS:
        problems.append(f"--output {output}: the name must end in {', '.join(_KINDS)}")
    if file.is_dir() or not file.absolute().parent.is_dir():
        problems.append(f"--output {output}: name a file in a folder that exists")
    if kind == ".csv" and options.memory_budget is not None:
        problems.append("--memory-budget: a .csv lists the runs and gives no advice: leave it out")
    if problems:
        raise UserError(problems)
    if kind == ".html":
        check_libraries()
    results, notices = collect(paths)
    check_not_read("--output", file, replaced=[file], reads=_files_of(results))
    comparisons = compare(results)
    if kind == ".csv":
        text = results_csv(comparisons, options.target_score)
    else:
        sections = [build_section(comparison, options) for comparison in comparisons]
        if kind == ".md":
            text = _markdown(results, sections, notices)
        else:
            text = _html(results, sections, notices, options)
    try:
        write_atomically(file, lambda out: out.write(text.encode("utf-8", "replace")))
    except OSError as error:
        raise UserError(f"--output {output} cannot be written: {error.strerror}") from None
    return notices


def _files_of(results: Sequence[Result]) -> dict[str, Path]:
    """The record of each run, its predictions, and what else the run wrote beside them."""
    found = {}
    for result in results:
        found[f"the run {result.file}"] = result.file
        if result.predictions is not None:
            found[f"the predictions {result.predictions}"] = result.predictions
        if result.file.name == RUN_FILE:
            for file in files_of_run(result.file.parent):
                found.setdefault(f"a file of the run {result.name}, {file.name}", file)
    return found


def _summary(results: Sequence[Result], sections: Sequence[Section]) -> str:
    failed = sum(result.get("status") != "completed" for result in results)
    rows = sum(len(section.rows) for section in sections)
    text = f"{len(results)} run{'s' * (len(results) != 1)} in {rows} row{'s' * (rows != 1)}"
    if failed:
        text += f"; {failed} did not complete"
    # A source tree that was never installed has no version; each run names its commit.
    versions = sorted({str(v) for r in results if (v := r.get("versions", "lowcost_ft"))})
    return f"{text}. Made by lowcost_ft {', '.join(versions)}".rstrip() + "."


def _html(
    results: Sequence[Result], sections: Sequence[Section], notices: list[str], options: Options
) -> str:
    shown = [
        vars(section)
        | {
            "plots": draw_plots(section.comparison, options.memory_budget),
            "marks": [
                (COLORS[index % len(COLORS)], GLYPHS[(index + index // len(COLORS)) % len(GLYPHS)])
                for index in range(len(section.rows))
            ],
        }
        for section in sections
    ]
    return rendered(
        "lowcost_ft.report",
        title="Which method should I use for my budget?",
        summary=_summary(results, sections),
        sections=shown,
        notices=notices,
        reading=READING,
    )


def _markdown(results: Sequence[Result], sections: Sequence[Section], notices: list[str]) -> str:
    lines = ["# Which method should I use for my budget?", "", _summary(results, sections)]
    for section in sections:
        lines += ["", f"## {markdown_text(section.title)}", ""]
        lines += [f"**{markdown_text(section.advice.headline)}**", ""]
        lines += [f"- {markdown_text(reason)}" for reason in section.advice.reasons]
        if len(section.advice.budgets) > 1:
            columns = ["memory that you have", "use" if section.judged else "fastest"]
            rows = [
                [Cell(text=budget.text), Cell(text=budget.row.label)]
                for budget in section.advice.budgets
            ]
            lines += ["", markdown_table(columns, rows)]
        lines += ["", markdown_table(section.table.columns, section.table.rows), ""]
        lines += [markdown_text(note) for note in section.notes]
        if section.classes:
            lines += ["", markdown_table(section.classes.columns, section.classes.rows)]
        if section.calibration:
            table = section.calibration
            lines += ["", "### Calibration", "", markdown_table(table.columns, table.rows)]
        lines += ["", "### Run again", ""]
        runs = [run for row in section.rows for run in row.runs]
        for run in (run for run in runs if run.command):
            commit = f" at commit {run.commit}" if run.commit else ""
            places = f" ({run.places})" if run.places else ""
            lines += [f"{markdown_text(run.name + commit + places)}:", ""]
            lines += [*(f"    {line}" for line in str(run.command).splitlines()), ""]
        if unknown := [run.name for run in runs if not run.command]:
            lines.append(f"No command was recorded for {markdown_text(', '.join(unknown))}.")
    if notices:
        lines += ["", "## Skipped", "", *(f"- {markdown_text(notice)}" for notice in notices)]
    lines += ["", "## How to read this", "", *(f"{text}\n" for text in READING)]
    return "\n".join(lines).rstrip() + "\n"
