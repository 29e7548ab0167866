"""What `build_model` takes, for the settings of a run."""

from typing import Any

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.values import split_list
from lowcost_ft.models.quantization import compute_dtype
from lowcost_ft.tasks.base import Task

__all__ = ["model_options"]


def model_options(
    config: RunConfig,
    task: Task,
    *,
    labels: list[str],
    mixed_precision: str,
    pad_token_id: int | None,
) -> dict[str, Any]:
    """Keyword arguments for `build_model`."""
    return {
        "model_id": config.model_id,
        "head": task.head_for(vars(config)),
        "labels": labels,
        "head_tokens": task.head_tokens,
        "problem_type": task.problem_type,
        "method": config.method,
        "quantization": config.quantization,
        "dtype": compute_dtype(mixed_precision),
        "lora_r": config.lora_r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "dropout": config.model_dropout,
        "target_modules": split_list(config.target_modules),
        "num_virtual_tokens": config.num_virtual_tokens,
        "adapter_config": config.adapter_config,
        "trainable_layers": config.trainable_layers,
        "gradient_checkpointing": config.gradient_checkpointing,
        "attn_implementation": config.attn_implementation,
        "pad_token_id": pad_token_id,
        "seed": config.seed,
        "revision": config.revision,
        "trust_remote_code": config.trust_remote_code,
        "stream_frozen_layers": config.stream_frozen_layers,
    }
