"""Checks that a stopped run resumes only if its result stays the same."""

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.setting import deciding
from lowcost_ft.data.features import Features
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.cache_key import digest
from lowcost_ft.models.adapter_files import read_adapter_file
from lowcost_ft.record.environment import versions
from lowcost_ft.record.redaction import redact
from lowcost_ft.training.checkpoint_files import Checkpoint, newest_checkpoint

__all__ = ["check_settings", "check_training", "find_checkpoint", "run_settings", "run_training"]


def run_settings(config: RunConfig, accelerator: Accelerator) -> dict[str, Any]:
    """The settings that decide the result, as a checkpoint records them."""
    fields = {name: getattr(config, name) for name in deciding(config)}
    settings = fields | {
        "mixed_precision": str(accelerator.mixed_precision),
        **config.settled,
    }
    if config.adapter_config:  # The file may have moved, too: what it holds counts.
        settings["adapter_config"] = read_adapter_file(config.adapter_config)[1]
    return json.loads(json.dumps(redact(settings)))


def run_training(fingerprint: str, features: Features, model: torch.nn.Module) -> dict[str, str]:
    """Identifies what training works on: examples, their tokens, and the frozen weights."""
    arrays = {n: getattr(features, n) for n in ("input_ids", "starts", "weights")}
    checksum = 0
    for name, parameter in model.named_parameters():
        # Packed weights (8-bit, NF4) may be packed otherwise on other hardware.
        if not parameter.requires_grad and parameter.is_floating_point():
            flat = parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            checksum = zlib.crc32(flat.numpy().data, zlib.crc32(name.encode(), checksum))
    return {
        "data": fingerprint,
        "tokens": digest(arrays.items()),
        "frozen_weights": f"{checksum:08x}",
    }


def find_checkpoint(
    accelerator: Accelerator, folder: Path, say: Callable[[str], None]
) -> Checkpoint | None:
    """The newest whole checkpoint in a folder, which the main process finds for all processes."""
    found = [newest_checkpoint(folder, say) if accelerator.is_main_process else None]
    broadcast_object_list(found)
    return found[0]


def check_settings(checkpoint: Checkpoint, settings: Mapping[str, Any]) -> None:
    """Refuses settings that would give another result than the run that was stopped.

    Raises:
        UserError: Settings differ; it names each field with its old and new value.
    """
    before = dict(checkpoint.state["identity"]["settings"])
    if before.get("dropout") is None:  # as older checkpoints say it
        before["dropout"] = "model"
    settings = dict(settings)
    for values in (before, settings):
        values["ema"] = values.get("ema") or 0.0  # Older checkpoints hold none, or None.
        values.setdefault("lora_start", "random")
        values.setdefault("head_start", "bias")
    problems = [
        f"--{name.replace('_', '-')} was {before.get(name)!r} and is now {settings.get(name)!r}"
        for name in sorted(set(before) | set(settings))
        if before.get(name) != settings.get(name)
    ]
    if problems:
        problems[-1] += (
            ". A resumed run keeps its settings: use the old values, or start a new run without "
            "--resume (in another --output-dir, or with --overwrite)"
        )
        raise UserError(problems)


def check_training(
    checkpoint: Checkpoint, training: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Refuses other data or weights than those that the run began with; tells of other versions.

    Raises:
        UserError: Data or weights have changed; it says which.
    """
    before = checkpoint.state["identity"]["training"]
    reasons = {
        "data": "the examples of the data files have changed",
        "tokens": "the tokenizer splits the texts differently",
        "frozen_weights": "the pretrained weights have changed",
        "model": f"--memory-budget makes it {training['model']}, not {before['model']}",
    }
    if "length" in before:  # Older checkpoints do not say.
        told = f"--num-train-epochs auto is {training['length']}, not {before['length']}"
        reasons["length"] = told
    changed = [text for name, text in reasons.items() if before[name] != training[name]]
    if before["model"] != training["model"]:
        changed = [reasons["model"]]
    if changed:
        raise UserError(
            f"since the checkpoint {checkpoint.folder}, {' and '.join(changed)}: restore "
            "them, or start a new run without --resume"
        )
    then, now = checkpoint.state["identity"]["versions"], versions()
    others = [f"{name} {then[name]} -> {now[name]}" for name in then if then[name] != now.get(name)]
    if others:
        say(
            f"note: library versions have changed since the run began ({', '.join(others)}): "
            "results may differ"
        )
