"""What a report says of each comparison, whatever it is written as."""

import json
from dataclasses import dataclass

from lowcost_ft.report.advice import Advice, advise
from lowcost_ft.report.details import (
    Confusion,
    Mistake,
    class_table,
    confusion_of,
    worst_predictions,
)
from lowcost_ft.report.distance import distances_from_full
from lowcost_ft.report.numbers import memory_text
from lowcost_ft.report.reliability import calibration_table
from lowcost_ft.report.repeat import facts_of, repeat_command
from lowcost_ft.report.rows import Comparison, Row
from lowcost_ft.report.tables import Table, comparison_table, target_score

__all__ = ["READING", "Options", "RowDetails", "RunDetails", "Section", "build_section"]

READING = (
    "Scores are those of the test split, by the weights of the epoch that was best on the "
    "validation split (of Trainer + peft: of the last epoch). An interval covers how far another "
    "test set of the same size (bootstrap) and other seeds may move the score; the seeds' spread "
    "is pooled over the rows that have several, and left out where there are too few. Two rows "
    "differ clearly when the lower score lies outside the interval of the higher, or when their "
    "difference is more than other seeds explain on the same test set.",
    "Peak memory is what tensors held in the largest training step, as the allocator counted it. "
    "Speed counts real tokens, padding left out, over the training steps alone; training is the "
    "time of all steps and, before them, of building a cache of frozen layers. Costs are medians "
    "over the seeds. Speed and time depend on the machine, and on what else ran on it.",
    "The calibration error is the mean distance between the scores of answers and the share of "
    "right ones, over 15 bins of equally many answers, less what noise adds to it. Scores are "
    "fitted on validation data; decisions do not change.",
    "Time to a validation score is counted in training seconds to the end of the first epoch that "
    "reached it, plus the building of a cache of frozen layers.",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a report is made.

    Attributes:
        target_score: Validation score for the time to it; None chooses one.
        memory_budget: Bytes that there are; None answers for every budget.
        examples: Worst predictions to show of each run; 0 keeps all texts out of the report.
    """

    target_score: float | None = None
    memory_budget: float | None = None
    examples: int = 10


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """One run: how to repeat it, and where it was most wrong."""

    name: str
    command: str | None
    commit: str
    places: str
    facts: list[tuple[str, str]]
    settings: str
    mistakes: list[Mistake]
    no_mistakes: str


@dataclass(frozen=True, kw_only=True)
class RowDetails:
    """What lies behind a row."""

    label: str
    status: str
    seeds: int
    confusion: Confusion | None
    runs: list[RunDetails]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A comparison, ready to be written."""

    comparison: Comparison
    title: str
    advice: Advice
    judged: bool
    table: Table
    failed: list[bool]
    notes: list[str]
    classes: Table | None
    calibration: Table | None
    rows: list[RowDetails]


def build_section(comparison: Comparison, options: Options) -> Section:
    """Computes everything that the report says of a comparison."""
    target = target_score(comparison, options.target_score)
    judged = any(row.score is not None for row in comparison.rows)
    notes = list(comparison.notices)
    if judged:
        notes.insert(0, "Bold: the best of its column. ≈: not clearly worse than the best score.")
    notes += distances_from_full(comparison)
    if process := _process_memory(comparison):
        notes.append(process)
    reasons = [result.get("benchmark", "no_scores") for result in _all_results(comparison)]
    notes += dict.fromkeys(f"No scores: {reason}." for reason in reasons if reason)
    return Section(
        comparison=comparison,
        title=comparison.title,
        advice=advise(comparison, options.memory_budget),
        judged=judged,
        table=comparison_table(comparison, target, options.memory_budget),
        failed=[not row.completed for row in comparison.rows],
        notes=notes,
        classes=class_table(comparison),
        calibration=calibration_table(comparison),
        rows=[_row_details(row, options) for row in comparison.rows],
    )


def _process_memory(comparison: Comparison) -> str:
    """What a CPU needs beside the tensors of a step: it is the larger part for small models."""
    peaks = {row.label: row.median("train", "peak_resident_bytes") for row in comparison.rows}
    known = {label: peak for label, peak in peaks.items() if peak is not None}
    on_cpu = all(
        result.get("train", "peak_memory_source") == "cpu_allocator"
        for row in comparison.rows
        for result in row.completed
    )
    if not known or not on_cpu:
        return ""
    least, most = min(known, key=lambda k: known[k]), max(known, key=lambda k: known[k])
    between = f"{memory_text(known[least])} ({least})"
    if least != most:
        between += f" to {memory_text(known[most])} ({most})"
    return (
        f"Peak memory and budgets are those of a training step's tensors. The whole process, with "
        f"Python, its libraries, the data and loading, took {between} at most."
    )


def _all_results(comparison: Comparison) -> list:
    return [result for row in comparison.rows for result in row.results]


def _row_details(row: Row, options: Options) -> RowDetails:
    runs = []
    for result in row.results:
        config = result.table("config")
        settings = {name: value for name, value in config.items() if value is not None}
        mistakes = worst_predictions(result, options.examples) if options.examples else []
        if mistakes is not None:
            missing = ""
        elif result.predictions is None:
            missing = "Its predictions.jsonl is missing, so its mistakes are not shown."
        else:
            missing = "Its predictions.jsonl contains no mistakes with their truth and loss."
        dirty = ", plus changes that were not committed" if result.get("git", "dirty") else ""
        commit = result.get("git", "commit")
        made = (
            ""
            if result.get("command")
            else "made from its settings, because no command was recorded"
        )
        runs.append(
            RunDetails(
                name=result.name,
                command=repeat_command(result),
                commit=f"{str(commit)[:12]}{dirty}" if commit else "",
                places=str(result.get("benchmark", "places") or made),
                facts=facts_of(result),
                settings=json.dumps(settings, indent=1, ensure_ascii=False),
                mistakes=mistakes or [],
                no_mistakes=missing,
            )
        )
    return RowDetails(
        label=row.label,
        status=row.status,
        seeds=len(row.completed),
        confusion=confusion_of(row),
        runs=runs,
    )
