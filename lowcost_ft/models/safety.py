"""Safety of folders that models are loaded from: no pickles, no code, no files outside.

A pickle can run code when it is read. A file of names (an index of weights, a configuration) could
name files elsewhere on the machine. Both are refused before anything is read.
"""

import json
import shlex
from pathlib import Path

from lowcost_ft.errors import UserError

__all__ = ["OWN_CODE", "check_not_an_adapter", "check_run_folder", "check_weight_files"]
__all__ += ["is_plain_name", "shard_names"]

OWN_CODE = (
    "it comes with Python code of its own; read that code, and add --trust-remote-code if you "
    "trust its author"
)
"""What to say of a model that transformers cannot build by itself."""

_VECTORS_IN_FRONT = ("PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING", "CARTRIDGE")
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


def is_plain_name(name: object) -> bool:
    """Whether this names a file or folder right here, and nothing above, below or elsewhere."""
    return isinstance(name, str) and Path(name).name == name and name not in ("", ".", "..")


def shard_names(index: Path) -> set[str]:
    """Names of the files that an index of weights points to.

    Raises:
        UserError: The index is damaged, or names something other than safetensors beside it.
    """
    try:
        shards = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{index}: is damaged ({type(error).__name__}); write it again") from error
    for name in sorted(shards, key=str):
        if not is_plain_name(name) or not name.endswith(".safetensors"):
            raise UserError(
                f"{index}: names {name!r}, which is not a .safetensors file beside it; nothing "
                "else is read, since it could run code or lie elsewhere"
            )
    return shards


def check_not_an_adapter(model_id: str) -> None:
    """Refuses a folder that holds an adapter in the place of a model; says how to make it one.

    Raises:
        UserError: It does.
    """
    folder = Path(model_id)
    config = folder / "adapter_config.json"
    if not config.is_file():
        return
    try:
        kind = json.loads(config.read_text("utf-8"))
        run = json.loads((folder / "run.json").read_text("utf-8"))
        kind, status = str(kind["peft_type"]), run["status"]
    except (OSError, ValueError, LookupError, TypeError):
        kind, status = "", ""
    fix = "give the model that it belongs to, or merge the two first"
    if status == "completed":
        whole = shlex.quote(f"{str(folder).rstrip('/')}-merged")
        fix = (
            f"merge it into its base model first (lowcost-ft merge {shlex.quote(str(folder))} "
            f"--output-dir {whole}), and give the new folder"
        )
        if kind.upper() in _VECTORS_IN_FRONT:
            fix = "it cannot be merged into its base model; give a model, such as that one"
    raise UserError(
        f"model_id: the folder {model_id!r} holds an adapter (adapter_config.json) and not a whole "
        f"model; {fix}"
    )


def check_weight_files(model_id: str) -> None:
    """Refuses a local folder whose weights are not safetensors in it, before any is read.

    Pickles beside safetensors are left alone: many models have both, and they are never opened.

    Raises:
        UserError: The folder holds only pickled weights, or none, or an adapter.
    """
    folder = Path(model_id)
    if not folder.is_dir():
        return
    check_not_an_adapter(model_id)
    if any(folder.glob("*.safetensors")):
        return
    if pickles := _pickles(folder):
        raise UserError(
            f"model_id: the folder {model_id!r} holds only pickled weights ({pickles[0]}), which "
            "can run code when they are read; convert them to model.safetensors first "
            "(load them where you trust them and call save_pretrained)"
        )
    raise UserError(
        f"model_id: the folder {model_id!r} holds no weights (model.safetensors); "
        "give a folder written by save_pretrained, or a name on the Hub"
    )


def check_run_folder(folder: Path, model_id: str) -> None:
    """Refuses a run folder in which somebody put or changed something.

    Args:
        folder: The run folder.
        model_id: The base model that `run.json` records.

    Raises:
        UserError: It holds a pickle, which no run writes, or its adapter names another base model
            than `run.json`.
    """
    if pickles := _pickles(folder):
        raise UserError(
            f"{folder}: holds {pickles[0]}, a pickle, which can run code when it is read; no run "
            "writes one: delete it, or do not use the folder"
        )
    config = folder / "adapter_config.json"
    if not config.is_file():
        return
    try:
        base = json.loads(config.read_text("utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError) as error:
        raise UserError(f"{config}: is damaged ({type(error).__name__}); train again") from error
    if base != model_id:
        raise UserError(
            f"{folder}: adapter_config.json names the base model {base!r} and run.json "
            f"{model_id!r}; restore the one that was changed"
        )


def _pickles(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in _PICKLES)
