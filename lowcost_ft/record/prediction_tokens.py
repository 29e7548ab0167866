"""How many padded tokens a run's model takes at once when it predicts."""

from collections.abc import Mapping
from typing import Any

from lowcost_ft.config.settings import USUAL_MICRO_BATCH_TOKENS

__all__ = ["LEFT_OPEN", "prediction_tokens"]

LEFT_OPEN = "left_open"
"""Key of `run.json`: names of the settings that a run chose by its hardware, as `auto` asks for."""


def prediction_tokens(record: Mapping[str, Any]) -> int:
    """Most padded tokens in a micro-batch without a backward pass.

    As many as `--micro-batch-tokens` says. What `auto` came to was chosen for training: on the
    memory of the card that trained, where the model may predict on another one, or by what suits
    the caches of a CPU in training. So it is no more than usual, and less only where memory is why.

    Args:
        record: The content of `run.json`, of a run that may still go on.
    """
    tokens = record["config"]["micro_batch_tokens"]
    if tokens == "auto":
        return USUAL_MICRO_BATCH_TOKENS
    if "micro_batch_tokens" not in record.get(LEFT_OPEN, ()):
        return int(tokens)
    plan = record.get("memory_plan") or {}
    if plan.get("device") == "cpu" and record["config"].get("memory_budget") is None:
        return USUAL_MICRO_BATCH_TOKENS
    return min(int(tokens), USUAL_MICRO_BATCH_TOKENS)
