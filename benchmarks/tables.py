"""Writes the tables of the READMEs and of `docs/` from the results: `make results`.

Everything between two markers such as `<!-- results -->` and `<!-- /results -->` is replaced. The
tables of results are those of `lowcost-ft report benchmarks/results`, with fewer columns.
"""

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit_tables import audit_example
from calibration_tables import calibration_section
from compression_tables import compression_section
from defaults_tables import (
    bias_table,
    defaults_tables,
    epochs_table,
    few_steps_table,
    heads_table,
)
from docstring_tables import layout_tables, settings_tables
from doctor_tables import doctor_tables
from export_tables import export_example, export_table
from extension_tables import extension_table
from few_shot_tables import few_shot_table
from generation_tables import generation_section
from label_tables import label_table
from messy_export_tables import (
    accuracy_bars,
    accuracy_table,
    found_bars,
    found_table,
    refusal,
)
from question_tables import question_section
from relation_tables import semeval_section
from speed_tables import (
    inference_lines,
    mean_score,
    operator_table,
    score_of,
    speed_tables,
    training_overview,
)
from summary_tables import quickstart_text, summary_table
from support_tables import support_tables
from trust_tables import trust_table
from tune_tables import tune_section
from word_tables import piece_sentence, word_tables

from lowcost_ft.record.run_file import load_record
from lowcost_ft.report.advice import advise
from lowcost_ft.report.collect import Result, collect
from lowcost_ft.report.grouping import compare
from lowcost_ft.report.numbers import ratio_text, seconds_text
from lowcost_ft.report.rows import Comparison, Row
from lowcost_ft.report.tables import comparison_table, markdown_table, markdown_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
_LEFT_OUT = ("a step", "training")


def results_tables() -> str:
    """A table a data set, each with what follows from it."""
    comparisons = compare(_committed())
    parts = [_section(comparison) for comparison in comparisons]
    return "\n\n".join([*parts, *_other_device_lines()])


def speed_sentences() -> str:
    """Training and prediction, measured in turns with the usual ways."""
    return "\n".join([training_overview(), "", *(f"- {line}" for line in inference_lines())])


def memory_sentences() -> str:
    """How far predicted peak memory was from the measured one."""
    files = sorted((RESULTS / "memory").glob("*.json"))
    return "\n".join(f"- {line}" for line in [*map(_memory_line, files), *_plan_lines()])


def _committed() -> list[Result]:
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
    return (
        f"The same commands on an {device}, in mixed precision (mean over the seeds, and each): "
        + ". ".join(told)
        + "."
    )


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


def _memory_line(file: Path) -> str:
    """How far predicted peak memory is from the measured one."""
    result = json.loads(file.read_text("utf-8"))
    summary = result["summary"]
    device = {"cpu": "a CPU", "cuda": "a GPU"}[result["device"]]
    kinds = {"writing": " of models that write texts"}
    kinds["answers"] = " of relation extraction and question answering"
    of = kinds.get(file.stem.partition("-")[2], "")
    return markdown_text(
        f"Predicted against measured peak memory of {summary['points']} training steps{of} on "
        f"{device} (benchmarks/memory_accuracy.py): the prediction was off by "
        f"{summary['median']:.4%} in the median, {summary['percentile_95']:.3%} at the 95th "
        f"percentile and {summary['worst']:.3%} at worst. It was more than 1% too low in "
        f"{summary['share_under_by_1_percent']:.0%} of the steps, and too low by any amount in "
        f"{summary['share_under']:.0%}."
    )


def _plan_lines() -> list[str]:
    """The same of the runs of the gpu suite, each of which predicts its own step."""
    runs = [run for run in map(load_record, sorted(RESULTS.glob("*.json"))) if _on_gpu(run)]
    errors = sorted(
        run["train"]["predicted_peak_memory_bytes"] / run["train"]["peak_memory_bytes"] - 1
        for run in runs
    )
    if not errors:
        return []
    device = " and ".join(sorted({gpu["name"] for r in runs for gpu in r["hardware"]["gpus"]}))
    return [
        f"The {len(runs)} runs on an {device} in the table above predicted their own peak memory; "
        f"the error was between {errors[0]:+.1%} and {errors[-1]:+.1%}, and "
        f"{statistics.median(errors):+.1%} in the median (a minus sign means too low)."
    ]


def _on_gpu(run: dict[str, Any]) -> bool:
    train = run.get("train", {})
    predicted = train.get("predicted_peak_memory_bytes") is not None
    return predicted and train.get("peak_memory_source") == "cuda_allocator"


def chosen_table() -> str:
    """What was tried on validation splits: layers, rates and dropout."""
    tried = json.loads((ROOT / "benchmarks" / "chosen_on_validation.json").read_text("utf-8"))
    scores: dict[tuple[Any, ...], dict[int, float]] = {}
    for run in tried:
        layers = run["trainable_layers"]
        method = run["method"] + (f", top {layers} layers, cached" if layers else ", all layers")
        dropout = "the model's" if run["dropout"] == "model" else f"{run['dropout']:g}"
        key = (run["data"], method, dropout, f"{run['learning_rate']:g}", run["num_train_epochs"])
        (score,) = [value for name, value in run.items() if name.startswith("validation_")]
        scores.setdefault(key, {})[run["seed"]] = score
    lines = [
        "| data | method | dropout | rate | epochs | seeds | mean validation score (each) |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, by_seed in scores.items():
        found = dict(sorted(by_seed.items()))
        each = f" ({', '.join(f'{score:.3f}' for score in found.values())})" * (len(found) > 1)
        seeds = ", ".join(map(str, found))
        cells = [*map(str, key), seeds, f"{statistics.mean(found.values()):.3f}{each}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {
        "quickstart": quickstart_text,
        "summary": lambda: summary_table(compare(_committed()), "en"),
    },
    "README.zh-CN.md": {
        "quickstart": quickstart_text,
        "summary": lambda: summary_table(compare(_committed()), "zh"),
    },
    "docs/results.md": {
        "results": results_tables,
        "speed": speed_sentences,
        "memory": memory_sentences,
    },
    "docs/methods.md": {"support": support_tables},
    "docs/ner.md": {"pieces": piece_sentence, "words": word_tables},
    "docs/doctor.md": {"doctor": doctor_tables},
    "docs/messy-export.md": {
        "refusal": refusal,
        "found": found_table,
        "accuracy": accuracy_table,
    },
    "docs/_static/messy-found.svg": {"found-bars": found_bars},
    "docs/_static/messy-accuracy.svg": {"accuracy-bars": accuracy_bars},
    "docs/few-labels.md": {"labels": label_table, "few-shot": few_shot_table},
    "docs/export.md": {"export": export_table, "export-example": export_example},
    "docs/distillation.md": {"compression": compression_section},
    "docs/extensions.md": {"extensions": extension_table},
    "docs/confidence.md": {"calibration": calibration_section},
    "docs/tuning.md": {"tuning": tune_section},
    "docs/trust.md": {"trust": trust_table},
    "docs/audit.md": {"audit-example": audit_example},
    "docs/defaults.md": {
        "epochs": epochs_table,
        "few-steps": few_steps_table,
        "bias": bias_table,
        "heads": heads_table,
        "defaults": defaults_tables,
    },
    "docs/generation.md": {"generation": generation_section},
    "docs/question-answering.md": {"xquad": question_section},
    "docs/relation-extraction.md": {"semeval": semeval_section},
    "docs/settings.md": {"settings": settings_tables},
    "docs/layout.md": {"layout": layout_tables},
    "benchmarks/README.md": {
        "speed": speed_tables,
        "operators": operator_table,
        "chosen": chosen_table,
    },
}
"""Which page has which tables."""


def with_results(page: str) -> str:
    """The text of a page with its tables made anew."""
    text = (ROOT / page).read_text("utf-8")
    for name, make in PAGES[page].items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{page} has no {begin} ... {end}")
        text = f"{before}{begin}\n{make()}\n{end}{after}"
    return text


def main() -> int:
    """Rewrites the pages."""
    for page in PAGES:
        (ROOT / page).write_text(with_results(page), "utf-8")
    print(f"{', '.join(PAGES)}: up to date with {len(_committed())} results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
