"""Settings that a finished run had otherwise than a run would have them now."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.setting import deciding
from lowcost_ft.config.settings import DataConfig

__all__ = ["changed_settings"]

_DATA = tuple(field.name for field in fields(DataConfig))
_SETTLED = (
    *("num_train_epochs", "validate_every_epochs", "optimizer", "dropout"),
    *("learning_rate", "head_learning_rate"),
)
"""Settings that a run puts a value in the place of, where the user left them open."""


def changed_settings(
    record: Mapping[str, Any], config: RunConfig, *, ignored: Iterable[str] = ()
) -> list[tuple[str, Any, Any]]:
    """Which settings that decide the result, and which files and columns, are others.

    Args:
        record: The content of the finished run's `run.json`.
        config: The settings of now.
        ignored: Names of settings that may differ.

    Returns:
        The name of each, what it was, and what it is.
    """
    before = {"lora_start": "random", "head_start": "bias"} | record["config"]
    before |= {"ema": before.get("ema") or 0.0}  # Older records have none, or None.
    planned = [c["setting"] for c in (record.get("memory_plan") or {}).get("choices", ())]
    now = config.to_dict() | config.settled
    if Path(config.model_id).is_dir():  # As a run writes it down.
        now["model_id"] = str(Path(config.model_id).resolve())
    found = []
    deciders = deciding(config)
    # Older records lack what came later.
    read = [name for name in _DATA if name not in deciders and name in before]
    for name in (*deciders, *read):
        open_now = name in _SETTLED and now[name] in (None, "auto")
        if name in (*ignored, *planned) or open_now or before.get(name) == now[name]:
            continue
        found.append((name, before.get(name), now[name]))
    return found
