"""The mended training set, and beside it what was changed, row by row, so that it can be undone."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lowcost_ft.data.exports.writing import json_lines, json_text
from lowcost_ft.data.findings import DROP, Edit
from lowcost_ft.data.rows import surrogate_fault
from lowcost_ft.doctor.examination import Examination
from lowcost_ft.errors import UserError
from lowcost_ft.record.run_file import write_atomically

__all__ = ["changes_file", "mend", "restore", "write_mended", "writing_problem"]

_KINDS = (".jsonl", ".csv", ".tsv")


def changes_file(path: str | Path) -> Path:
    """Where the changes of a mended file are listed."""
    return Path(f"{path}.changes.jsonl")


def writing_problem(path: str) -> str | None:
    """What keeps a mended set from being written to a path."""
    if Path(path).suffix.lower() not in _KINDS:
        return f"--fix {path}: the name must end in {', '.join(_KINDS)}"
    if Path(path).is_dir() or not Path(path).absolute().parent.is_dir():
        return f"--fix {path}: name a file in a folder that exists"
    return None


def mend(
    examination: Examination, *, asked: bool = False
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Applies what the findings say to the training rows.

    The worst finding decides where two change the same column of a row; a row that one of them
    leaves out is left out.

    Args:
        examination: What was found.
        asked: Whether the user chose these findings by name.

    Returns:
        The mended rows, and the changes: `{"row", "place", "line", "kinds", "change": "drop" |
        "replace", "before", "after"}` each. `row` counts from 1 in the file, `place` among the
        rows that were read: tasks that nobody labelled are not.
    """
    data = examination.data
    split = data.train
    numbers = {place: number for number, place in enumerate(split.places)}
    changes: dict[int, dict[str, Any]] = {}
    dropped: dict[int, list[str]] = {}
    kinds: dict[int, list[str]] = {}
    names: dict[int, dict[str, str]] = {}  # Of the classes that are renamed in a row.
    renamed: dict[int, set[str]] = {}  # The columns in which they are.
    edits: dict[int, list[tuple[str, Sequence[Edit]]]] = {}
    for finding in examination.findings:
        if finding.on_request and not asked:
            continue
        for row in finding.rows:
            if not row.mendable:
                continue
            if row.change == DROP:
                dropped.setdefault(row.place, []).append(finding.kind)
                continue
            if row.edits:
                edits.setdefault(row.place, []).append((finding.kind, row.edits))
                continue
            assert isinstance(row.change, Mapping)
            change = row.change
            known, free = changes.setdefault(row.place, {}), renamed.setdefault(row.place, set())
            if row.renames:  # A row may have one name in another case, and another mistyped.
                of_row = names[row.place] = {**row.renames, **names.get(row.place, {})}
                both = data.kind.with_names(split.rows, row.place, data.reading, new=of_row)
                change = both if isinstance(both, Mapping) else change
                free |= change.keys() - known.keys()
            new = {
                name: value
                for name, value in change.items()
                if name not in known or (name in free and known[name] != value)
            }
            if new:
                known |= new
                kinds.setdefault(row.place, []).append(finding.kind)
    mended, log = [], []
    order = [finding.kind for finding in examination.findings]
    for place, given in enumerate(split.rows):
        before = dict(given.values)
        entry = {"row": split.number(place), "place": place + 1, "line": split.line(place)}
        if place in dropped:
            what = {
                "kinds": list(dict.fromkeys(dropped[place])),
                "change": "drop",
                "before": before,
                "after": None,
            }
            log.append(entry | what)
            continue
        after = before | changes.get(place, {})
        if place in edits and place in numbers:
            current = replace(given, values=after)
            example = split.examples[numbers[place]]
            done: list[Edit] = []
            for kind, of_kind in edits[place]:  # One by one, to know which of them change the row.
                done += of_kind
                spans = data.kind.with_spans(current, example, data.reading, done)
                edited = after | dict(spans or {})
                if edited != after:
                    kinds.setdefault(place, []).append(kind)
                after = edited
        if after != before:
            done_by = sorted(dict.fromkeys(kinds[place]), key=order.index)
            what = {"kinds": done_by, "change": "replace", "before": before, "after": after}
            log.append(entry | what)
        mended.append(after)
    return mended, log


def restore(
    mended: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The rows as they were before `mend`.

    Args:
        mended: The mended rows.
        changes: What was changed.
    """
    of_row = {change["place"]: change for change in changes}
    left = iter(mended)
    total = len(mended) + sum(change["change"] == DROP for change in changes)
    rows = []
    for number in range(1, total + 1):
        change = of_row.get(number)
        if change is None:
            rows.append(dict(next(left)))
            continue
        if change["change"] != DROP:
            next(left)
        rows.append(dict(change["before"]))
    return rows


def write_mended(path: str, examination: Examination, *, asked: bool = False) -> tuple[int, int]:
    """Writes the mended set and the list of changes.

    Args:
        path: The file to write: `.jsonl`, `.csv` or `.tsv`.
        examination: What was found.
        asked: Whether the user chose these findings by name.

    Returns:
        How many rows were left out, and how many were changed.

    Raises:
        UserError: The rows hold lists or the like, which a table cannot.
    """
    mended, log = mend(examination, asked=asked)
    suffix = Path(path).suffix.lower()
    if suffix == ".jsonl":
        text = json_lines(mended)
    else:
        nested = any(isinstance(v, list | dict) for row in mended for v in row.values())
        # The cells of a table that was read hold them as text, so that reading takes them so.
        if nested and Path(examination.data.train.path).suffix.lower() not in (".csv", ".tsv"):
            raise UserError(f"--fix {path}: the rows hold lists, which no table can: name a .jsonl")
        text = _table(mended, "\t" if suffix == ".tsv" else ",")
        if surrogate_fault(text):
            raise UserError(f"--fix {path}: a text holds half a surrogate pair: name a .jsonl")
    write_atomically(Path(path), lambda out: out.write(text.encode()))
    write_atomically(changes_file(path), lambda out: out.write(json_lines(log).encode()))
    drops = sum(change["change"] == DROP for change in log)
    return drops, len(log) - drops


def _table(rows: Sequence[Mapping[str, Any]], delimiter: str) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    table = csv.DictWriter(out, names, delimiter=delimiter, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: _cell(value) for name, value in row.items()})
    return out.getvalue()


def _cell(value: Any) -> Any:
    """Lists and objects as JSON."""
    return json_text(value) if isinstance(value, list | dict) else value
