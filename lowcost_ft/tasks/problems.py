"""What is wrong with the way in which data are given, and how many problems of a kind are told."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from lowcost_ft.config.reading import (
    ANNOTATIONS,
    DISCONTINUOUS,
    ENTITY_OFFSETS,
    PROBLEM_TYPES,
    WORD_SPLITTINGS,
    ReadingOptions,
    label_conflicts,
)
from lowcost_ft.config.tasks import task_settings, unusable_settings
from lowcost_ft.data.exports.reading import EXPORTS
from lowcost_ft.data.file_kinds import FORMATS
from lowcost_ft.data.python_rows import Rows

__all__ = ["argument_problems", "capped", "python_problems"]

_SHOWN_OF_A_KIND = 5
_DEFAULTS = ReadingOptions()


def argument_problems(
    task: str,
    reading: ReadingOptions,
    dataset: str | None,
    dataset_config_name: str | None,
) -> list[str]:
    title, problems = task_settings(task).title, []
    for name, owners in unusable_settings(task).items():
        if getattr(reading, name, None) != getattr(_DEFAULTS, name, None):
            problems.append(f"--{name.replace('_', '-')} is for {owners}, not for {title}")
    if reading.text_column is not None and reading.tokens_column is not None:
        problems.append("--text-column and --tokens-column exclude each other")
    problems += label_conflicts(reading)
    problem_type = reading.problem_type
    if problem_type is not None and problem_type not in PROBLEM_TYPES:
        known = ", ".join(PROBLEM_TYPES)
        problems.append(f"--problem-type {problem_type} is unknown; known: {known}")
    if reading.format not in ("auto", *FORMATS, *EXPORTS):
        known = ", ".join(("auto", *FORMATS, *EXPORTS))
        problems.append(f"--format {reading.format} is unknown; known: {known}")
    if reading.annotations not in (None, *ANNOTATIONS):
        known = ", ".join(ANNOTATIONS)
        problems.append(f"--annotations {reading.annotations} is unknown; known: {known}")
    if reading.discontinuous not in (None, *DISCONTINUOUS):
        known = ", ".join(DISCONTINUOUS)
        problems.append(f"--discontinuous {reading.discontinuous} is unknown; known: {known}")
    if reading.entity_offsets not in ENTITY_OFFSETS:
        known = ", ".join(ENTITY_OFFSETS)
        problems.append(f"--entity-offsets {reading.entity_offsets} is unknown; known: {known}")
    if reading.word_splitting not in WORD_SPLITTINGS:
        known = ", ".join(WORD_SPLITTINGS)
        problems.append(f"--word-splitting {reading.word_splitting} is unknown; known: {known}")
    if dataset_config_name is not None and dataset is None:
        problems.append("--dataset-config-name goes with --dataset")
    return problems


def python_problems(rows: Mapping[str, Rows] | None, files: bool) -> list[str]:
    if not rows:
        return []
    problems = []
    if files:
        problems.append(
            "data in Python and --train-file, --test-file, --dataset exclude each other"
        )
    if "train" not in rows:
        problems.append("train: give training rows beside those of validation and test")
    known = ("train", "validation", "test")
    return problems + [
        f"{split}: unknown split; known: {', '.join(known)}" for split in rows if split not in known
    ]


def capped(problems: Sequence[str]) -> list[str]:
    """At most a few problems of a kind; kinds differ in more than numbers and quoted text."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        kinds[re.sub(r'"(?:[^"\\]|\\.)*"|\d+', "#", problem)].append(problem)
    capped = []
    for alike in kinds.values():
        capped += alike[:_SHOWN_OF_A_KIND]
        if (more := len(alike) - _SHOWN_OF_A_KIND) > 0:
            capped.append(f"and {more} more like it, the last: {alike[-1]}")
    return capped
