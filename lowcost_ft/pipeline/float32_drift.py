"""Measures how an int8 run answers without rounding, as plain transformers loads it."""

from dataclasses import asdict
from typing import Any

from lowcost_ft.models.loading import forward_module, load_trained
from lowcost_ft.pipeline.comparing import Comparison
from lowcost_ft.pipeline.data import Data
from lowcost_ft.pipeline.start import Run

__all__ = ["measure_float32_drift"]

_MOST_EXAMPLES = 256


def measure_float32_drift(run: Run, data: Data, split: str) -> dict[str, Any] | None:
    """Compares a saved int8 run with the same adapter on the weights that were not rounded.

    Args:
        run: The run, whose folder holds the adapter.
        data: Its data.
        split: The split whose first examples are compared.

    Returns:
        The fields of `Drift` (before: int8; after: float32), with `split` and `examples`; None
        for a task that writes texts, which would take long.
    """
    if data.task.writes:
        return None
    examples = (getattr(data.splits, split) or [])[:_MOST_EXAMPLES]
    features = data.task.featurize(examples, data.tokenizer, max_length=run.config.max_length)
    comparison = Comparison(run.record, data.task, data.tokenizer, examples, features)
    found = []
    for record in (run.record, run.record | {"quantization": "none"}):
        model = load_trained(run.folder, record, trust_remote_code=run.config.trust_remote_code)
        found.append(comparison.predict(forward_module(model).eval()))
    drift = asdict(comparison.drift(*found))
    return drift | {"split": split, "examples": len(examples)}
