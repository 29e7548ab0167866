"""The tables of docs/generation.md, from what `generation.py` summarised."""

import json
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["generation_padding_section", "generation_section", "generation_speed_section"]
__all__ += ["writing_rates_section"]

FILE = Path(__file__).resolve().parent / "generation.json"
RATES = FILE.parent / "writing_rates.json"
_SUITES = {
    "tico19": "TICO-19, English to French",
    "scitldr": "SciTLDR",
    "dailydialog": "DailyDialog++",
    "scratch": "the embedded pairs, English to French",
}
_ARMS = {
    "copy": "the source, repeated (SciTLDR: its first sentence)",
    "untrained": "SmolLM2-135M before training",
    "lora": "SmolLM2-135M, LoRA",
    "full": "SmolLM2-135M, full fine-tuning",
    "scratch": "a small T5, trained from random weights",
}
_TRAINERS = {
    "lowcost_ft": "`recipes/lora_translation.py`",
    "trl-defaults": "TRL's `SFTTrainer` + peft, its documented defaults",
    "trl-tuned": "the same in float32, without checkpointing, grouped by length",
}
_SCORES = {
    "chrf": "chrF {:.1f}",
    "bleu": "BLEU {:.1f}",
    "rouge1": "ROUGE-1 {:.3f}",
    "rougeL": "ROUGE-L {:.3f}",
    "perplexity": "perplexity {:.2f}",
}


def generation_section() -> str:
    """Test scores of each arm that has finished, with intervals over the rows."""
    found = json.loads(FILE.read_text("utf-8"))
    lines = ["| data | written by | test scores (95% interval) | rows |", "|---|---|---|---|"]
    missing = []
    for suite, title in _SUITES.items():
        waiting = []
        others = {arm: _titled(arm) for arm in found.get(suite, {}) if ":" in arm}
        for arm, by in (_ARMS | others).items():
            if (suite == "scratch") != (arm == "scratch"):
                continue
            entry = found.get(suite, {}).get(arm)
            if entry is None:
                waiting.append(arm)
                continue
            test = entry["test"]
            shown = ", ".join(_score(test, name) for name in _SCORES if name in test)
            lines.append(f"| {title} | {by} | {shown} | {test['examples']:,} |")
        missing += [f"{title} ({', '.join(waiting)})"] if waiting else []
    lora = found.get("tico19", {}).get("lora", {})
    apart = ", ".join(
        f"{_SCORES[name].split()[0]} {value:+.1f} ({low:+.1f} to {high:+.1f})"
        for name, (value, (low, high)) in lora.get("less_full", {}).items()
    )
    if apart:
        lines += ["", f"LoRA less full fine-tuning, on the same rows of TICO-19: {apart}."]
    if missing:
        lines += ["", f"Not measured yet: {'; '.join(missing)}."]
    return "\n".join(lines)


def generation_padding_section() -> str:
    """How much of a step is padding where it is one micro-batch."""
    shares = json.loads(FILE.read_text("utf-8"))["padding"]["padding"]["padding"]
    told = ", ".join(f"{share:.1%} ({_SUITES[suite]})" for suite, share in shares.items())
    return f"Padding, where a whole step is one micro-batch: {told}."


def writing_rates_section() -> str:
    """Validation perplexity after one epoch on half of the rows, by rate."""
    rows = json.loads(RATES.read_text("utf-8"))
    lines = ["| data | method | rate | perplexity of the validation rows |", "|---|---|---|---|"]
    for suite in _SUITES:
        for row in sorted((r for r in rows if r["set"] == suite), key=_parts):
            method, more, rate = _parts(row)
            shown = f"`{method}`" + (f", {more}" if more else "")
            lines.append(f"| {_SUITES[suite]} | {shown} | {rate:g} | {row['perplexity']:.2f} |")
    return "\n".join(lines)


def _parts(row: dict[str, Any]) -> tuple[str, str, float]:
    """Of an arm: its method, what else it has, and its rate."""
    method, rate, *more = row["arm"].split(":")
    told = []
    for name, _, value in (part.rpartition("=") for part in more):
        match name:
            case "":
                told.append(f"rank {value}")
            case "b_ratio":
                told.append(f"B at {float(value) * float(rate):g}")
            case _:
                told.append(_flag(name, value))
    return method, ", ".join(told), float(rate)


def _flag(name: str, value: str) -> str:
    return f"`--{name.replace('_', '-')} {value}`"


def _titled(arm: str) -> str:
    method, *given = arm.split(":")
    told = [
        _flag(name, value) if name else f"at a rate of {value}"
        for name, _, value in (part.rpartition("=") for part in given)
    ]
    return ", ".join((_ARMS[method], *told))


def generation_speed_section() -> str:
    """Real tokens a second and peak memory beside TRL: medians over the turns."""
    runs = json.loads(FILE.read_text("utf-8"))["speed"]["speed"]["runs"]
    turns = {arm: [run for run in runs if run["arm"] == arm] for arm in _TRAINERS}
    ours = turns["lowcost_ft"]
    lines = [
        "| trained by | turns | real tokens a second | the recipe's speed over it, each turn | "
        "most memory of the process |",
        "|---|---|---|---|---|",
    ]
    for arm, title in _TRAINERS.items():
        speeds = [run["real_tokens_per_second"] for run in turns[arm]]
        ratios = [
            run["real_tokens_per_second"] / speed for run, speed in zip(ours, speeds, strict=True)
        ]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios) if arm != "lowcost_ft" else ""
        peak = max(run["peak_resident_bytes"] for run in turns[arm])
        lines.append(
            f"| {title} | {len(speeds)} | {median(speeds):.0f} | {shown} | {peak / 1e6:,.0f} MB |"
        )
    return "\n".join(lines)


def _score(test: dict[str, Any], name: str) -> str:
    low, high = test[f"{name}_ci95"]
    digits = ".3f" if name.startswith("rouge") else ".1f"
    return f"{_SCORES[name].format(test[name])} ({low:{digits}} to {high:{digits}})"
