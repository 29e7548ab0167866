"""Tables of `docs/defaults.md` on where the head begins."""

import json
import statistics
from collections import defaultdict
from typing import Any

from default_sets import PANEL
from defaults_tables import FILE, arm_title

__all__ = ["bias_table", "fitted_table", "heads_table"]

HEADS = FILE.parent / "results" / "heads"
"""Runs like those of `results` of other ranks, without an average of the weights, and with heads
that begin at zero."""
_HEADS = [
    ("full fine-tuning", "zero", HEADS, "full-zero"),
    ("full fine-tuning", "the frequencies", HEADS.parent, "full"),
    ("LoRA, rank 16", "zero", HEADS, "lora-r16-zero"),
    ("LoRA, rank 16", "the frequencies", HEADS, "lora-r16"),
    ("LoRA, rank 32", "the frequencies", HEADS, "lora-r32"),
    ("LoRA, rank 32, averaged", "the frequencies", HEADS.parent, "lora"),
    ("LoRA, rank 64", "the frequencies", HEADS, "lora-r64"),
]
_FITTED = (
    "least_steps=600",
    "least_steps=600:pooling=mean",
    "head_start=fitted:least_steps=600:pooling=mean",
)
_TAGGED = {one.name for one in PANEL if one.task == "ner"}


def bias_table() -> str:
    """Best validation scores with a head that begins at zero, and with today's."""
    found: dict[tuple, dict[bool, float]] = defaultdict(dict)
    for run in json.loads(FILE.read_text("utf-8"))["runs"]:
        if run["scale"] != 1:
            continue
        method, *fields = run["arm"].split(":")
        others = {f for f in fields if not f.startswith(("learning_rate", "zero_bias"))}
        others -= {"lora_r=16", "ema=0"}  # Both heads were tried with these.
        if run["set"] in _TAGGED:  # Tags are not read from the pooler.
            others.discard("frozen_pooler=true")
        if others != {"least_steps=600"} or "validation" not in run:
            continue
        best = max(epoch[run["metric"]] for epoch in run["validation"])
        if method == "lora" and "lora_r=16" not in fields:
            continue
        key = (run["set"], method, run["learning_rate"], run["seed"])
        found[key]["zero_bias=true" in fields] = best
    lines = [
        "| set | method | rate | seed | begins at zero | begins at the frequencies |",
        "|---|---|---|---|---|---|",
    ]
    for (name, method, rate, seed), scores in found.items():
        if len(scores) == 2:
            lines.append(
                f"| {name} | `{method}` | {rate:g} | {seed} | {scores[True]:.3f} "
                f"| {scores[False]:.3f} |"
            )
    return "\n".join(lines)


def fitted_table() -> str:
    """Heads that begin fitted: what they know alone, the best validation score, the last loss."""
    arms = {f"{method}:{rest}" for method in ("lora", "full") for rest in _FITTED}
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for run in json.loads(FILE.read_text("utf-8"))["runs"]:
        if run["scale"] == 1 and run["seed"] == 0 and run["arm"] in arms:
            found[run["set"]][run["arm"]] = run
    shown = [f"lora:{rest}" for rest in _FITTED] + [f"full:{_FITTED[0]}", f"full:{_FITTED[2]}"]
    lines = [
        "| set | head alone | " + " | ".join(map(arm_title, shown)) + " |",
        "|---" * (len(shown) + 2) + "|",
    ]
    for name, of_set in found.items():
        fitted = [run["head_start"] for run in of_set.values() if run.get("head_start")]
        if not fitted:
            continue
        cells = [f"{fitted[0]['held_out_accuracy']:.3f}"]
        for arm in shown:
            history = of_set[arm]["validation"] if arm in of_set else []
            best = max((epoch[of_set[arm]["metric"]] for epoch in history), default=0)
            cells.append(f"{best:.3f}, loss {history[-1]['loss']:.2f}" if history else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def heads_table() -> str:
    """F1 on WNUT-17, whole and for three epochs, with a head that begins at zero and today's."""
    lines = [
        "| method | the head begins at | validation F1 | each seed | test F1 | each seed |",
        "|---|---|---|---|---|---|",
    ]
    for title, start, folder, name in _HEADS:
        files = sorted(folder.glob(f"wnut17-{name}-seed*.json"))
        found = [json.loads(file.read_text("utf-8"))["evaluation"] for file in files]
        cells = []
        for split in ("validation", "test"):
            scores = [scored[split]["f1"] for scored in found]
            cells.append(f"{statistics.mean(scores):.3f}")
            cells.append(", ".join(f"{score:.3f}" for score in scores))
        lines.append(f"| {title} | {start} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
