"""What the doctor says: as JSON, on the terminal, and the score of each row."""

import csv
import io
import json
import shlex
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from lowcost_ft.data.findings import Finding, FoundRow
from lowcost_ft.data.rows import counted, shown
from lowcost_ft.doctor.examination import Examination

__all__ = ["findings_json", "findings_text", "mending_command", "row_place"]
__all__ += ["row_text", "scores_text"]

_SHOWN_ROWS = 3


def findings_json(examination: Examination, command: Sequence[str]) -> dict[str, Any]:
    """`{"findings": [...]}`, worst first. One without rows has a title that says what it is.

    Args:
        examination: What was found.
        command: The words of the command that found it.
    """
    return {
        "findings": [
            {
                "kind": finding.kind,
                "severity": finding.severity,
                "rows": [_row(examination, row) for row in finding.rows],
                "command": mending_command(finding, command),
                **({} if finding.rows else {"title": finding.title}),
            }
            for finding in examination.findings
        ]
    }


def _row(examination: Examination, row: FoundRow) -> dict[str, Any]:
    split = examination.data.splits[row.split]
    return {
        "file": split.path,
        "row": split.number(row.place),
        "line": split.line(row.place),
        "score": row.score,
        "suggested": row.suggested,
    }


def mending_command(finding: Finding, command: Sequence[str]) -> str:
    """The command that mends a finding, or that lists its rows where a person must decide."""
    if finding.command is not None:
        return finding.command
    words = [*command, "--kinds", finding.kind]
    if any(row.mendable for row in finding.rows):
        return shlex.join([*words, "--fix", _mended_file(command)])
    return shlex.join([*words, "--output", "doctor.html"])


def _mended_file(command: Sequence[str]) -> str:
    """A file to write that is none of those which the command reads."""
    ending = Path(command[2]).suffix.lower()
    ending = ending if ending in (".csv", ".tsv") else ".jsonl"
    read = {Path(word).absolute() for word in command[2:]}
    names = (f"mended{'' if number == 1 else f'-{number}'}{ending}" for number in count(1))
    return next(name for name in names if Path(name).absolute() not in read)


def findings_text(examination: Examination, command: Sequence[str]) -> str:
    """The findings for a terminal: each with its first rows and the command that mends it."""
    data = examination.data
    sizes = ", ".join(f"{name} {len(split.rows):,}" for name, split in data.splits.items())
    last = len(list(data.splits.values())[-1].rows)
    lines = [f"{sizes} row{'' if last == 1 else 's'}"]
    if not examination.findings:
        return "\n".join([*lines, "", examination.nothing()])
    for finding in examination.findings:
        lines += ["", f"{finding.severity.upper()}  {finding.kind}: {finding.title}"]
        lines.append(f"    {finding.why}")
        for row in finding.rows[:_SHOWN_ROWS]:
            lines.append(f"    {row_place(examination, row)}: {_told(examination, row)}")
        if (more := len(finding.rows) - _SHOWN_ROWS) > 0:
            lines.append(f"    and {counted(more, 'row')} more")
        mending = mending_command(finding, command)
        what = "mend" if "--fix" in mending or finding.command else "look"
        lines.append(f"    {what}:  {mending}")
    # Each of these commands reads the file as it is, so that the last one alone would count.
    together = [
        finding.kind
        for finding in examination.findings
        if not finding.on_request and "--fix" in mending_command(finding, command)
    ]
    if len(kinds := list(dict.fromkeys(together))) > 1:
        words = [*command, "--kinds", ",".join(kinds), "--fix", _mended_file(command)]
        lines += ["", f"mend together:  {shlex.join(words)}"]
    return "\n".join(lines)


def row_place(examination: Examination, row: FoundRow) -> str:
    """File and line of a row."""
    return examination.data.splits[row.split].rows[row.place].source


def _told(examination: Examination, row: FoundRow) -> str:
    told = row.told or f"score {row.score:.2f}"
    text = row_text(examination, row)
    return told if not text or shown(text)[:20] in told else f"{told}, in {shown(text)}"


def row_text(examination: Examination, row: FoundRow) -> str:
    """The text of a row, or all that it holds where it has none that can be read."""
    split = examination.data.splits[row.split]
    if row.place in split.places:
        example = split.examples[split.places.index(row.place)]
        return " | ".join(examination.data.kind.texts_of(example))
    return json.dumps(split.rows[row.place].values, ensure_ascii=False, default=str)


def scores_text(examination: Examination, *, as_csv: bool) -> str:
    """The score of every training row, as JSON lines or as CSV.

    Rows that cannot be read have the score 1. Those that were left out, such as by
    `--exclude-label`, and those of data whose labels were not judged have none.
    """
    split, scores = examination.data.train, examination.scores
    unreadable = {
        row.place
        for finding in examination.data.findings
        for row in finding.rows
        if row.split == "train"
    }
    of_place = {place: i for i, place in enumerate(split.places)}
    rows = []
    for place in range(len(split.rows)):
        row: dict[str, Any] = {
            "file": split.path,
            "row": split.number(place),
            "line": split.line(place),
            "score": 1.0 if place in unreadable else None,
            "suggested": None,
        }
        if place in of_place and scores is not None:
            number = of_place[place]
            row["score"] = float(scores.scores[number])
            row["suggested"] = scores.suggested[number]
            row |= scores.details[number]
        rows.append(row)
    if not as_csv:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    table = csv.DictWriter(out, names, lineterminator="\n")
    table.writeheader()
    for row in rows:
        if isinstance(row["suggested"], list | dict):
            row["suggested"] = json.dumps(row["suggested"], ensure_ascii=False)
        table.writerow(row)
    return out.getvalue()
