"""What was tried on validation splits: a table for `benchmarks/README.md`."""

import json
import statistics
from pathlib import Path
from typing import Any

TRIED = Path(__file__).resolve().parent / "chosen_on_validation.json"


def chosen_table() -> str:
    """The mean validation score of each choice of layers, rate and dropout that was tried."""
    tried = json.loads(TRIED.read_text("utf-8"))
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
