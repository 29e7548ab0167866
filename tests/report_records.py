"""Records of made-up runs, for the tests of reports: the shape of run.json, any numbers."""

import json
from pathlib import Path
from typing import Any

__all__ = ["HOSTILE", "record", "write_records"]

HOSTILE = '<script>alert("x")</script> & $\\frac{'
"""A label that breaks whatever takes it for markup, for mathematics or for a format."""


def record(
    method: str = "lora",
    *,
    seed: int = 0,
    score: float | None = 0.8,
    memory: float = 400e6,
    speed: float = 1000.0,
    status: str = "completed",
    labels: tuple[str, ...] = ("person", "place"),
    config: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A run of NER; without a score, one that measured cost alone."""
    settings = {"model_id": "org/tiny", "method": method, "max_length": 128, "batch_size": 16}
    settings |= {"train_file": "data/wnut17/train.conll", "seed": seed, "trainable_layers": None}
    settings["dropout"] = "model"
    run: dict[str, Any] = {
        "schema_version": 1,
        "status": status,
        "task": "ner",
        "model_id": "org/tiny",
        "method": method,
        "seed": seed,
        "command": [f"recipes/{method}_ner.py", "--seed", str(seed)],
        "labels": ["O", *(f"B-{label}" for label in labels)],
        "config": settings | (config or {}),
        "versions": {"python": "3.11.7", "lowcost_ft": "0.1.0"},
        "hardware": {"cpu": "Some CPU", "cores": 2, "threads": 1, "ram_bytes": 8e9, "gpus": []},
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "data": {"rows": {"train": 80, "test": 20}, "fingerprint": "ab12", "notices": []},
        "parameters": {"total": 1000, "trainable": 1000 if method == "full" else 30},
    }
    sizes = {"weights": memory / 4, "activations": memory / 2, "optimizer": memory / 4}
    run["memory_plan"] = {"parts": sizes | {"cuda_context": 0}, "budget_bytes": None}
    if status == "completed":
        run["saved_bytes"] = 4000 if method == "full" else 120
        run["train"] = {
            "seconds": 100.0,
            "optimizer_steps": 50,
            "seconds_per_step": 2.0,
            "cache_seconds": 0.0,
            "peak_memory_bytes": memory,
            "peak_memory_source": "cpu_allocator",
            "real_tokens_per_second": speed,
            "loss_history": [
                {"step": step, "loss": 3.0 / step, "seconds": 2.0 * step} for step in (1, 25, 50)
            ],
            "validation_history": [
                {"epoch": 1.0, "f1": 0.9 * (score or 0.5), "seconds": 50.0},
                {"epoch": 2.0, "f1": score or 0.5, "seconds": 100.0},
            ],
        }
    if status == "completed" and score is not None:
        per_label = {"precision": score, "recall": score, "f1": score, "support": 10}
        run["evaluation"] = {
            "test": {
                "f1": score,
                "f1_ci95": [score - 0.05, score + 0.05],
                "per_entity": {label: per_label for label in labels},
                "confusion": {labels[0]: {labels[0]: 8, "O": 2}, "O": {labels[0]: 1}},
            }
        }
    return run | changes


def write_records(folder: Path, **records: dict[str, Any]) -> str:
    """Result files in a folder, named as the keywords; returns the folder."""
    folder.mkdir(exist_ok=True)
    for name, run in records.items():
        (folder / f"{name}.json").write_text(json.dumps(run), "utf-8")
    return str(folder)
