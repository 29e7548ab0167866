"""The tables of methods in `docs/results.md`, what follows from them, and runs on other devices."""

from pathlib import Path
from typing import Any

from speed_tables import (
    mean_score,
    score_of,
)

from lowcost_ft.record.run_file import load_record
from lowcost_ft.report.advice import advise
from lowcost_ft.report.collect import Result, collect
from lowcost_ft.report.grouping import compare
from lowcost_ft.report.numbers import ratio_text, seconds_text
from lowcost_ft.report.rows import Comparison, Row
from lowcost_ft.report.tables import comparison_table, markdown_table, markdown_text

RESULTS = Path(__file__).resolve().parent / "results"
_LEFT_OUT = ("a step", "training")


def results_tables() -> str:
    """A table a data set, each with what follows from it."""
    comparisons = compare(committed())
    parts = [_section(comparison) for comparison in comparisons]
    return "\n\n".join([*parts, *_other_device_lines()])


def committed() -> list[Result]:
    """The committed runs of all methods."""
    results, _ = collect([str(RESULTS)]) if list(RESULTS.glob("*.json")) else ([], [])
    return results


def _section(comparison: Comparison) -> str:
    table = comparison_table(comparison, None)
    kept = [index for index, name in enumerate(table.columns) if name not in _LEFT_OUT]
    rows = [[row[index] for index in kept] for row in table.rows]
    threads = sorted({str(row.results[0].get("hardware", "threads")) for row in comparison.rows})
    on = f"{' and '.join(threads)} thread{'s' * (threads != ['1'])}"
    title = f"{comparison.title}, {on}"
    advice = advise(comparison)
    extremes = _extremes(comparison) if len(comparison.rows) > 1 else []
    sentences = [advice.headline, *extremes, *comparison.notices]
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
    ratios = _ratios(comparison, least, "memory")
    sentences = [f"The least memory is needed by {least.label}{ratios}."]
    for device in comparison.devices:
        fastest = max((row for row in rows if row.device == device), key=lambda row: row.speed or 0)
        seconds = fastest.cache_seconds
        built = f", once the cache was built in {seconds_text(seconds)}," * bool(seconds)
        where = f" on {device}" * (len(comparison.devices) > 1)
        ratios = _ratios(comparison, fastest, "speed")
        sentences.append(f"The fastest steps{where}{built} are those of {fastest.label}{ratios}.")
    return sentences


def _ratios(comparison: Comparison, row: Row, what: str) -> str:
    usual = [row for row in comparison.rows if row.results[0].get("method") == "trainer-peft"]
    full = comparison.full(row)
    ratios = [
        f"{ratio} of {other.label}"
        for other in [*([full] if full else []), *usual]
        if other is not row
        and (what != "speed" or other.device == row.device)
        and (ratio := ratio_text(getattr(row, what), getattr(other, what)))
    ]
    return f" ({'; '.join(ratios)})" if ratios else ""


def _other_device_lines() -> list[str]:
    """Runs that were repeated on another device, beside those of the table: a folder a device."""
    here = {file.name: load_record(file) for file in RESULTS.glob("*.json")}
    lines = []
    for folder in sorted(path for path in (RESULTS / "scores").glob("*") if path.is_dir()):
        pairs = [
            (load_record(file), here[file.name])
            for file in sorted(folder.glob("*.json"))
            if file.name in here and _same_run(load_record(file), here[file.name])
        ]
        if pairs:
            on_gpu = bool(pairs[0][0]["hardware"]["gpus"])
            lines.append(markdown_text(_gpu_line(pairs) if on_gpu else _cpu_line(pairs)))
    return lines


def _same_run(there: dict[str, Any], usual: dict[str, Any]) -> bool:
    """Whether both come of one command, whose default dropout has not changed between them."""
    commands = [run["command"] for run in (there, usual)]
    kept = [run["config"].get("dropout") for run in (there, usual)]
    dropouts = {"model" if dropout is None else dropout for dropout in kept}
    return commands[0] == commands[1] and len(dropouts) == 1


_Pairs = list[tuple[dict[str, Any], dict[str, Any]]]


def _gpu_line(pairs: _Pairs) -> str:
    """Mean scores: another precision, and so never the same digits."""
    (device,) = {there["hardware"]["gpus"][0]["name"] for there, _ in pairs}
    told = []
    for name in dict.fromkeys(there["benchmark"]["name"] for there, _ in pairs):
        both = zip(*(pair for pair in pairs if pair[0]["benchmark"]["name"] == name), strict=True)
        there, usual = map(mean_score, both)
        told.append(f"{name} {there}; in the table {usual}")
    older = any(_defaults(there) != _defaults(usual) for there, usual in pairs)
    return (
        f"The same commands on an {device}, in mixed precision"
        f"{' and with earlier defaults' * older} (mean over the seeds, and each): "
        + ". ".join(told)
        + "."
    )


def _defaults(run: dict[str, Any]) -> tuple[Any, ...]:
    """Settings whose defaults have changed: a command alone does not say what a run had."""
    config = run["config"]
    named = [config.get(name) for name in ("learning_rate", "lora_r", "ema")]
    return (*named, bool(run.get("output_bias")))


def _cpu_line(pairs: _Pairs) -> str:
    (device,) = {there["hardware"]["cpu"] for there, _ in pairs}
    off = [abs(score_of(there) - score_of(usual)) for there, usual in pairs]
    peaks = [
        abs(there["train"]["peak_memory_bytes"] / usual["train"]["peak_memory_bytes"] - 1)
        for there, usual in pairs
    ]
    same = sum(not difference for difference in off)
    others = f", the others differ by {max(off):.4f} at most" * (same < len(off))
    return (
        f"{len(pairs)} of these runs were also made on an {device}, by the same commands: {same} "
        f"test scores are the same to the last digit{others}; peak memory differs by "
        f"{max(peaks):.2%} at most."
    )
