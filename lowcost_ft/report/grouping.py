"""Sorts runs into rows, and rows into comparisons: what can be compared with what."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.report.collect import Result
from lowcost_ft.report.labels import (
    NOT_A_SETTING,
    data_name,
    device,
    dropout_text,
    known_settings,
    row_labels,
    unusual_dropout,
)
from lowcost_ft.report.rows import Comparison, Row, main_metric

__all__ = ["compare"]

_LIKE_SHARES = 0.1
"""Shares of the CPU that differ by no more are called similar."""


def compare(results: Sequence[Result]) -> list[Comparison]:
    """Sorts runs into rows, and rows into comparisons: those of most rows first."""
    groups: dict[tuple, list[Result]] = defaultdict(list)
    for result in results:
        groups[_data_key(result)].append(result)
    # A run that ended before it had read the data belongs to those with data of the same name.
    for key in [key for key in groups if not key[-1]]:
        alike = [other for other in groups if other[-1] and other[:-2] == key[:-2]]
        if len(alike) == 1:
            groups[alike[0]] += groups.pop(key)
    comparisons = _told_apart([_comparison(group) for group in groups.values()])
    # Scores before costs alone.
    return sorted(comparisons, key=lambda c: (c.metric is None, -len(c.rows)))


def _kind_of_device(result: Result) -> str:
    # Without scores there is nothing to compare between CPUs.
    if result.get("benchmark", "no_scores"):
        return device(result)
    on_cpu = device(result) == result.get("hardware", "cpu")
    return "CPU" if on_cpu else device(result)


def _data_key(result: Result) -> tuple:
    rows = tuple(sorted((k, str(v)) for k, v in result.table("data", "rows").items()))
    labels = tuple(map(str, result.get("labels") or ()))
    # Runs that say nothing of quality have no place in a table of scores.
    for_cost = bool(result.get("benchmark", "no_scores"))
    return result.get("task"), data_name(result), _kind_of_device(result), for_cost, labels, rows


def _comparison(results: list[Result]) -> Comparison:
    groups: dict[tuple, list[Result]] = defaultdict(list)
    for result in results:
        groups[_setting_key(result)].append(result)
    notices: list[str] = []
    members = [_one_a_seed(group, notices) for group in groups.values()]
    metric = next((found for result in results if (found := main_metric(result))), None)
    rows = [
        Row(label=label, results=group, metric=metric)
        for label, group in zip(row_labels(members), members, strict=True)
    ]
    rows = [replace(row, seed_error=_seed_error(rows)) for row in rows]
    rows.sort(key=lambda row: (not row.completed, -(row.score or 0.0), row.memory or math.inf))
    threads = sorted({str(result.get("hardware", "threads")) for result in results})
    if len(threads) > 1:
        notices.append(
            f"Some runs used {' and others '.join(threads)} threads: compare speeds only between "
            "rows with the same number."
        )
    notices += _unlike_shares(rows)
    devices = sorted({row.device for row in rows})
    if len({row.device for row in rows if row.completed}) > 1:
        notices.append(
            f"The rows ran on different CPUs ({' and '.join(devices)}): speeds and times are "
            "compared only between rows of the same CPU."
        )
    dropouts = {unusual_dropout(result) for result in results}
    if len(dropouts) == 1 and (dropout := dropout_text(*dropouts)):
        notices.append(f"All rows train with {dropout}, which is not the default of their task.")
    models = sorted({row.model for row in rows})
    named = ", ".join(models) if len(models) < 4 else f"{len(models)} models"
    comparison = Comparison(
        title=f"{data_name(results[0])} on {' and '.join(devices)}, {named}",
        metric=metric,
        rows=rows,
        notices=notices,
    )
    unlike = [row.label for row in rows if _full_has_other_dropout(comparison, row)]
    if unlike:
        notices.append(
            f"{'; '.join(unlike)}: compared with full fine-tuning at another dropout, because none "
            "with the same dropout was run."
        )
    return comparison


def _unlike_shares(rows: Sequence[Row]) -> list[str]:
    """Says that speeds are not alike where other programs took more of the CPU from some rows."""
    shares = {row.label: row.cpu_share for row in rows if row.completed}
    known = {label: share for label, share in shares.items() if share is not None}
    if not known or max(known.values()) - min(known.values()) <= _LIKE_SHARES:
        return []
    least, most = min(known, key=lambda k: known[k]), max(known, key=lambda k: known[k])
    return [
        f"The rows got different shares of the CPU time of their threads, from {known[least]:.0%} "
        f"({least}) to {known[most]:.0%} ({most}): compare speeds and times only between rows "
        "with similar shares."
    ]


def _full_has_other_dropout(comparison: Comparison, row: Row) -> bool:
    full = comparison.full(row)
    if full is None:
        return False
    return len({unusual_dropout(one.results[0]) for one in (row, full)}) > 1


def _told_apart(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Adds to titles that are alike the rows of their splits, by which the data differ."""
    titles = [comparison.title for comparison in comparisons]
    return [
        replace(comparison, title=f"{comparison.title}, {_splits(comparison)}")
        if titles.count(comparison.title) > 1
        else comparison
        for comparison in comparisons
    ]


def _splits(comparison: Comparison) -> str:
    result = comparison.rows[0].results[0]
    rows = result.table("data", "rows")
    known = [f"{rows[name]:,} for {name}" for name in rows if isinstance(rows[name], int)]
    if result.get("benchmark", "no_scores"):
        return "for cost alone"
    return f"rows: {', '.join(known)}" if known else "data not read"


def _one_a_seed(results: list[Result], notices: list[str]) -> list[Result]:
    """A seed's completed run, once: its repetition or copy says nothing about other seeds."""
    by_seed: dict[Any, Result] = {}
    for result in sorted(results, key=lambda result: result.get("status") != "completed"):
        first = by_seed.setdefault(result.get("seed"), result)
        if first is not result:
            notices.append(
                f"{result.name} is left out: it repeats {first.name}, the same settings with seed "
                f"{result.get('seed')}."
            )
    return [result for result in results if by_seed[result.get("seed")] is result]


def _seed_error(rows: Sequence[Row]) -> float | None:
    """95% half-width by which a seed moves the score of one run, by Student's t.

    The rows share one standard deviation, pooled over all that have several seeds: three scores
    alone hardly know theirs. A setting that ran on several CPUs counts once: the same seeds again
    are no others. None for fewer than two degrees of freedom.
    """
    of_settings: dict[tuple, list[float]] = {}
    for row in rows:
        of_settings.setdefault(_setting_key(row.results[0])[:-1], row.scores())
    groups = [scores for scores in of_settings.values() if len(scores) > 1]
    freedom = sum(len(scores) - 1 for scores in groups)
    if freedom < 2:
        return None
    from scipy.stats import t

    squares = sum((len(scores) - 1) * statistics.variance(scores) for scores in groups)
    return float(t.ppf(0.975, freedom)) * math.sqrt(squares / freedom)


def _setting_key(result: Result) -> tuple:
    config = known_settings(result)
    if config["max_steps"] is not None:  # Then epochs decide nothing.
        config["num_train_epochs"] = None
    settings = {name: config[name] for name in config if name not in NOT_A_SETTING}
    return (
        str(result.get("model_id")),
        str(result.get("method")),
        str(result.get("hardware", "threads")),
        str(sorted(settings.items(), key=lambda item: item[0])),
        device(result),
    )
