"""The base model of an adapter: what it was, and whether what is given now is the same."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lowcost_ft.errors import UserError

__all__ = ["base_identity", "check_base_is_there", "check_identity"]

_SHAPE = ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")


def base_identity(model: Any) -> dict[str, Any]:
    """What `run.json` records of a base model, so that it is known again.

    Args:
        model: The task model of transformers as it was loaded, before anything was trained.

    Returns:
        Its shape, and a checksum over the biases and norms of its backbone, which are never
        quantized; None where some of them were not read.
    """
    config = model.config.get_text_config()
    vectors = [
        (name, parameter)
        for name, parameter in sorted(model.base_model.named_parameters())
        if parameter.dim() == 1 and parameter.is_floating_point() and "pooler" not in name
    ]
    checksum: int | None = 0
    for name, parameter in vectors:
        if parameter.is_meta or checksum is None:
            checksum = None
            break
        flat = parameter.detach().cpu().float().contiguous().view(torch.uint8)
        checksum = zlib.crc32(flat.numpy().data, zlib.crc32(name.encode(), checksum))
    return {
        **{name: getattr(config, name, None) for name in _SHAPE},
        "checksum": None if checksum is None else f"{checksum:08x}",
    }


def check_identity(model: Any, recorded: Mapping[str, Any] | None, given: str) -> None:
    """Refuses a base model that is not the one that a run was trained on, as far as is known.

    Args:
        model: What `--base-model` names, loaded, without an adapter.
        recorded: `base_model` in `run.json`; None in older ones.
        given: For the message.

    Raises:
        UserError: Says what differs.
    """
    found = base_identity(model)
    differs = [
        f"{name} is {found[name]} and was {was}"
        for name, was in (recorded or {}).items()
        if was is not None and found.get(name) not in (None, was) and name != "checksum"
    ]
    was = (recorded or {}).get("checksum")
    if not differs and was is not None and found["checksum"] not in (None, was):
        differs = ["its weights are others"]
    if differs:
        raise UserError(
            f"--base-model {given} is not the model that the run was trained on: "
            f"{', '.join(differs)}"
        )


def check_base_is_there(folder: Path, model_id: str) -> None:
    """Refuses a run whose base model was a folder that is gone.

    Raises:
        UserError: Names the flag, and the files that hold the old path.
    """
    if Path(model_id).is_absolute() and not Path(model_id).exists():
        raise UserError(
            f"the base model of {folder} is not in {model_id} any more: say where it is now with "
            f"--base-model (load_predictor: base_model). Two files of the run hold the old path: "
            f"{folder / 'run.json'} (model_id) and {folder / 'adapter_config.json'} "
            "(base_model_name_or_path)"
        )
