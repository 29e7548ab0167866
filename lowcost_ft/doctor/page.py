"""The findings as one HTML page that needs nothing else, in the look of the reports."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.doctor.answer import mending_command, row_place, row_text
from lowcost_ft.doctor.examination import Examination
from lowcost_ft.report.page_parts import rendered

__all__ = ["page"]

_SHOWN_ROWS = 50
_SHOWN_CHARACTERS = 400


def page(examination: Examination, command: Sequence[str]) -> str:
    """The page.

    Args:
        examination: What was found.
        command: The words of the command that found it.

    Raises:
        UserError: The libraries of the extra `report` are missing.
    """
    data = examination.data
    counts = {name: len(split.rows) for name, split in data.splits.items()}
    severe = sum(finding.severity == "severe" for finding in examination.findings)
    return rendered(
        "lowcost_ft.doctor",
        title=f"What would hurt in {data.train.path}",
        headline=_headline(len(examination.findings), severe)
        if examination.findings
        else examination.nothing(),
        splits=[(name, data.splits[name].path, count) for name, count in counts.items()],
        findings=[
            _shown(examination, number, command) for number in range(len(examination.findings))
        ],
        notices=data.notices,
        shown=_SHOWN_ROWS,
    )


def _headline(total: int, severe: int) -> str:
    return f"{total} finding{'s' * (total != 1)}, {severe} of them severe"


def _shown(examination: Examination, number: int, command: Sequence[str]) -> dict[str, Any]:
    finding = examination.findings[number]
    rows = [
        {
            "place": row_place(examination, row),
            "score": f"{row.score:.3f}",
            "told": row.told,
            "text": row_text(examination, row)[:_SHOWN_CHARACTERS],
        }
        for row in finding.rows[:_SHOWN_ROWS]
    ]
    return {
        "kind": finding.kind.replace("_", " "),
        "severity": finding.severity,
        "title": finding.title,
        "why": finding.why,
        "rows": rows,
        "size": len(finding.rows),
        "command": mending_command(finding, command),
    }
