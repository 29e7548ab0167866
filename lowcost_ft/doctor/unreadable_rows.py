"""What the doctor says of rows and lines that training would refuse to read."""

from collections import defaultdict
from collections.abc import Sequence

from lowcost_ft.data.findings import DROP, Finding, FoundRow
from lowcost_ft.data.rows import counted, file_of
from lowcost_ft.doctor.checked_data import PLACE, CheckedSplit
from lowcost_ft.tasks.problems import capped

__all__ = ["unreadable_lines", "unreadable_rows"]


def unreadable_rows(split: CheckedSplit, faults: Sequence[str]) -> list[Finding]:
    """Findings for rows that training would refuse: rows without a text, and others.

    Args:
        split: The file.
        faults: What reading says of it, each with its place in front.
    """
    of_row: dict[int, list[str]] = defaultdict(list)
    starts = {row.source: place for place, row in enumerate(split.rows)}
    lines = [(line, place) for place in range(len(split.rows)) if (line := split.line(place))]
    read = set(split.places)
    for problem in faults:
        source, _, told = problem.partition(": ")
        place = starts.get(source.split(" word ")[0])
        found = PLACE.fullmatch(source)
        if place is None and found and file_of(source) == split.path:
            before = [p for line, p in lines if line <= int(found[2])]
            place = before[-1] if before else None
        if place is not None and place not in read and told not in of_row[place]:
            of_row[place].append(told)
    empty = {
        place
        for place, faults_of in of_row.items()
        if any("is an empty text" in one or "is missing; fill it in" in one for one in faults_of)
    }
    findings = []
    for kind, chosen, what in (
        ("empty_text", empty, "without a text"),
        (
            "unreadable_row",
            {p for p, told in of_row.items() if told} - empty,
            "that cannot be read",
        ),
    ):
        if chosen:
            rows = [
                FoundRow(
                    place=place,
                    split=split.name,
                    told="; ".join(of_row[place]),
                    change=DROP if split.name == "train" else None,
                )
                for place in sorted(chosen)
            ]
            findings.append(
                Finding(
                    kind=kind,
                    severity="severe",
                    rows=rows,
                    title=f"{counted(len(rows), 'row')} of {split.name} {what}",
                    why="training refuses the file because of them",
                )
            )
    return findings


def unreadable_lines(problems: Sequence[str]) -> Finding:
    """The finding for lines that are not rows at all.

    Args:
        problems: What reading says of them.
    """
    told = "; ".join(capped(problems))
    return Finding(
        kind="unreadable_line",
        severity="severe",
        title=f"{counted(len(problems), 'line')} that cannot be read: {told}",
        why="training refuses the file because of them",
    )
