"""The table of docs/generation.md, from what `generation.py` summarised."""

import json
from pathlib import Path
from typing import Any

__all__ = ["generation_section"]

FILE = Path(__file__).resolve().parent / "generation.json"
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
        for arm, by in _ARMS.items():
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
    if missing:
        lines += ["", f"Not measured yet: {'; '.join(missing)}."]
    return "\n".join(lines)


def _score(test: dict[str, Any], name: str) -> str:
    low, high = test[f"{name}_ci95"]
    digits = ".3f" if name.startswith("rouge") else ".1f"
    return f"{_SCORES[name].format(test[name])} ({low:{digits}} to {high:{digits}})"
