"""The metadata of a model card: YAML that tells the Hub the base model, the data and the scores."""

import math
import os
import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from lowcost_ft.record.model_limits import scored_split
from lowcost_ft.record.reload_code import (
    is_adapter,
    pipeline_task,
    run_config,
)
from lowcost_ft.scores.metric_names import METRICS
from lowcost_ft.tasks.card import RunRecord

__all__ = ["base_model_name", "data_name", "hub_metadata", "is_number"]

_HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$", re.ASCII)


def hub_metadata(run: RunRecord, name: str) -> str:
    """The YAML at the top of a card, without the lines around it.

    Base models and data sets are named only if the Hub may know them, since it refuses other names.

    Args:
        run: The content of `run.json`.
        name: Name of the model.
    """
    split, scores = scored_split(run)
    test_file = run_config(run).get("test_file")
    data = Path(test_file).name if split == "test" and test_file else data_name(run)
    shown = {key: scores[key] for key in METRICS if is_number(scores.get(key))}
    results = [
        EvalResult(
            task_type=pipeline_task(run),
            dataset_type=re.sub(r"[^\w./-]+", "-", data),
            dataset_name=data,
            dataset_split=split,
            metric_type=METRICS[key][1],
            metric_name=METRICS[key][0],
            metric_value=round(value, 4),
        )
        for key, value in shown.items()
    ]
    on_hub = _is_hub_name(str(run["model_id"]))
    dataset = run_config(run).get("dataset")
    relation = "adapter" if is_adapter(run) else "finetune"
    tags = ["lowcost-ft", run["method"], pipeline_task(run)]
    if on_hub:
        tags.append(f"base_model:{relation}:{run['model_id']}")
    return ModelCardData(
        base_model=run["model_id"] if on_hub else None,
        base_model_relation=relation if on_hub else None,
        datasets=[dataset] if dataset and _is_hub_name(dataset) else None,
        library_name="peft" if is_adapter(run) else "transformers",
        pipeline_tag=pipeline_task(run),
        tags=tags,
        metrics=list(dict.fromkeys(METRICS[key][1] for key in shown)) or None,
        model_name=name,
        eval_results=results or None,
    ).to_yaml()


def base_model_name(run: RunRecord) -> str:
    """The base model as the card shows it: without the folders of the author's machine."""
    model_id = str(run["model_id"])
    return model_id if _is_hub_name(model_id) else Path(model_id).name


def data_name(run: RunRecord) -> str:
    """The training data as the card shows them: a name on the Hub, or that of a file."""
    config = run_config(run)
    source = config.get("dataset") or config.get("train_file")
    if not source:
        return "lowcost_ft sample"
    return source if config.get("dataset") and _is_hub_name(source) else Path(source).name


def _is_hub_name(name: str) -> bool:
    return bool(_HUB_NAME.match(name)) and not os.path.exists(name)


def is_number(value: Any) -> bool:
    """Whether a score is defined; a record may hold null or NaN."""
    return isinstance(value, int | float) and math.isfinite(value)
