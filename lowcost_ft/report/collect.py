"""The runs that a report is about: run folders, result files, and folders full of either."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowcost_ft.errors import UserError
from lowcost_ft.record.run_file import RUN_FILE, load_record
from lowcost_ft.record.run_folder import kind_of_record

__all__ = ["Result", "collect"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run.

    Attributes:
        name: Name of its folder or result file.
        file: Where its record lies.
        run: The content of its `run.json`; any field may be missing, or be of another kind.
        predictions: Its `predictions.jsonl`, or None where there is none.
    """

    name: str
    run: dict[str, Any]
    file: Path = Path()
    predictions: Path | None = None

    def get(self, *keys: str) -> Any:
        """A nested field of the record, or None where there is none."""
        value: Any = self.run
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def number(self, *keys: str) -> float | None:
        """A nested number of the record, or None where there is none, or none that is finite."""
        value = self.get(*keys)
        usable = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if usable and math.isfinite(value) else None

    def table(self, *keys: str) -> dict[str, Any]:
        """A nested object of the record, or an empty one."""
        value = self.get(*keys)
        return value if isinstance(value, dict) else {}

    def rows(self, *keys: str) -> list[dict[str, Any]]:
        """A nested list of objects of the record, or an empty one."""
        value = self.get(*keys)
        return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def collect(paths: Sequence[str]) -> tuple[list[Result], list[str]]:
    """Reads the runs that the paths name.

    Args:
        paths: Run folders, `run.json` and result files, and folders that hold such.

    Returns:
        The runs, each once, in the order of the paths and of their names; and what the reader of
        the report should know: files in a folder that are no runs, and what was made of runs.

    Raises:
        UserError: A path does not exist, or holds no run; every such path is listed.
    """
    found: dict[Path, Result] = {}
    notices: list[str] = []
    problems: list[str] = []
    for path in paths:
        place = Path(path)
        files = _files(place)
        if not files:
            problems.append(
                f"{path} does not contain a run: give run folders, their {RUN_FILE}, or a folder "
                "of them"
                if place.exists()
                else f"{path} does not exist: give a run folder or a file of results"
            )
        read = 0
        for file in files:
            try:
                result = _result(file)
                read += 1
                if kind := kind_of_record(result.run):
                    notices.append(_made(result, kind))
                else:
                    found.setdefault(file.resolve(), result)
            except UserError as error:
                if file in (place, place / RUN_FILE):
                    problems.append(str(error))
                else:  # What lies in a folder need not be a run.
                    notices.append(str(error))
        if files and not read and not problems:
            problems.append(f"{path} contains JSON files, but none of them is the record of a run")
    if problems or (notices and not found):
        raise UserError(problems or notices)
    return list(found.values()), notices


def _made(result: Result, kind: str) -> str:
    """Why a merged, compressed or exported model is left out."""
    run = result.get("merged_from") or "the run that it was made of"
    return (
        f"{result.name}: is {kind}, whose record holds the training of {run} and other scores: "
        "compare the runs, and score this one with lowcost-ft evaluate"
    )


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if (place / RUN_FILE).is_file():
        return [place / RUN_FILE]
    return [*sorted(place.glob("*.json")), *sorted(place.glob(f"*/{RUN_FILE}"))]


def _result(file: Path) -> Result:
    run = load_record(file)
    if file.name == RUN_FILE:
        name, predictions = file.resolve().parent.name, file.with_name("predictions.jsonl")
    else:
        name, predictions = file.stem, file.with_suffix(".predictions.jsonl")
    found = predictions if predictions.is_file() else None
    return Result(name=name, run=run, file=file, predictions=found)
