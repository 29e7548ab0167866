"""The table of docs/question-answering.md, from what `question_answering.py` summarised."""

import json
from pathlib import Path

from lowcost_ft.report.numbers import memory_text

__all__ = ["question_section"]

FILE = Path(__file__).resolve().parent / "question_answering.json"
_TITLES = {
    "lora": "LoRA",
    "full": "full fine-tuning",
    "script": "`Trainer` + peft, settings of transformers' example script",
    "trainer-peft": "`Trainer` + peft, the recipe's epochs and rate",
    "memorize": "LoRA on 200 questions, asked the same ones",
    "sentence": "the sentence most similar to the question",
}


def question_section() -> str:
    """F1 and exact match of each arm that has finished, and LoRA's differences to the others."""
    found = json.loads(FILE.read_text("utf-8"))
    lines = [
        "| answers by | F1 | each seed | exact match | peak memory |",
        "|---|---|---|---|---|",
    ]
    for arm, entry in found["arms"].items():
        each = ", ".join(f"{f1:.3f}" for f1 in entry["f1_by_seed"])
        memory = memory_text(entry["peak_memory_bytes"])
        lines.append(
            f"| {_TITLES[arm]} | {entry['f1']:.3f} | {each} | {entry['exact_match']:.3f} "
            f"| {memory} |"
        )
    for arm, entry in found["lora_minus"].items():
        low, high = entry["f1_ci95"]
        lines += [
            "",
            f"LoRA less {_TITLES[arm]}: {entry['f1']:+.3f} F1 ({low:+.3f} to {high:+.3f} over "
            f"{entry['articles']} articles).",
        ]
    missing = [_TITLES[arm] for arm in _TITLES if arm not in found["arms"]]
    if missing:
        lines += ["", f"Not measured yet: {'; '.join(missing)}."]
    return "\n".join(lines)
