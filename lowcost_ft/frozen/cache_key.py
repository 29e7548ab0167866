"""What the states below the trainable layers depend on, as the key of their cache."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from lowcost_ft.frozen.lower_part import LowerPart
from lowcost_ft.models.family import Family
from lowcost_ft.record.environment import versions

__all__ = ["describe_model", "digest"]

_LIBRARIES = ("torch", "transformers", "bitsandbytes")
"""Libraries whose code computes the states."""

_IRRELEVANT = ("id2label", "label2id", "problem_type", "_name_or_path", "transformers_version")
"""Fields of a model's configuration that the states do not depend on."""


def describe_model(
    accelerator: Accelerator,
    model: Any,
    family: Family,
    part: LowerPart,
    head_names: tuple[str, ...],
    seen: dict[str, str],
) -> dict[str, Any]:
    """All that the states depend on besides the data: the weights themselves, not their name.

    Args:
        accelerator: Device and precision.
        model: A task model of transformers.
        family: Its entry in the table.
        part: Its lower part.
        head_names: Paths of the head modules.
        seen: Digests of the weights that the model itself lacks, by their paths in the backbone.
    """
    upper = tuple(f"{family.layers}.{part.first_layer + k}." for k in range(part.num_trainable))
    prefix = f"{model.base_model_prefix}."
    heads = tuple(f"{name.removeprefix(prefix)}." for name in head_names)
    weights = {
        name: digest([(name, weight)])
        for name, weight in model.base_model.state_dict().items()
        if not name.startswith((*upper, *heads))
    } | seen
    config = model.config.to_dict()
    installed = versions()
    for field in (*_IRRELEVANT, *family.dropout_fields):
        config.pop(field, None)
    return {
        "weights": digest(sorted(weights.items())),
        "model_config": json.loads(json.dumps(config, default=str)),
        "attention": model.config._attn_implementation,
        "layer": part.first_layer,
        "precision": accelerator.mixed_precision,
        "matmul_precision": torch.get_float32_matmul_precision(),
        "device": accelerator.device.type,
        "versions": {name: installed[name] for name in _LIBRARIES},
    }


def digest(arrays: Iterable[tuple[str, Any]]) -> str:
    """SHA-256 over names, types, shapes and contents."""
    found = hashlib.sha256()
    for name, array in arrays:
        tensor = torch.from_numpy(array) if isinstance(array, np.ndarray) else array
        if not torch.is_tensor(tensor):
            found.update(f"{name} {tensor!r};".encode())
            continue
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()
