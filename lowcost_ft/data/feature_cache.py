"""Tokenized data, kept on disk, so that a second run on the same data does not tokenize again.

Only what took long to make is kept. A file is found by what it depends on: the examples themselves,
the task's settings, the tokenizer's whole content, and the libraries' versions. It is written under
another name first, so it is whole or not there; one that cannot be read is made anew.
"""

import dataclasses
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from transformers import PreTrainedTokenizerBase

from lowcost_ft.data.features import Array, Features

__all__ = ["cached_features", "feature_cache_dir", "feature_key"]

FORMAT = 3
"""Raised whenever examples are tokenized or laid out in another way."""
WORTH_KEEPING_SECONDS = 2.0
"""What tokenizing must take for its result to be kept."""
KEPT_DAYS = 30
"""Files that no run has used for so long are removed."""
_OUR_NAME = re.compile(r"[0-9a-f]{32}\.safetensors")

_ARRAYS = ("input_ids", "starts", "examples", "weights", "token_type_ids")
_NUMBERS = ("num_examples", "truncated")
_WHERE_FROM = {"source", "first_line", "row_id"}
"""Fields of an example that say where it came from, which does not matter to what it is."""


def feature_cache_dir() -> Path:
    """`tokenized` in LOWCOST_FT_CACHE, else in the user's cache folder."""
    if own := os.environ.get("LOWCOST_FT_CACHE"):
        return Path(own).expanduser() / "tokenized"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "lowcost_ft" / "tokenized"


def cached_features(
    featurize: Callable[[], Features], key: str, *, folder: Path, say: Callable[[str], None]
) -> Features:
    """What `featurize` returns, read from `folder` where an earlier run left it.

    Args:
        featurize: Tokenizes.
        key: What the result depends on, from `feature_key`.
        folder: Where tokenized data is kept.
        say: Tells the user of what is read, kept and removed.
    """
    file = folder / f"{key}.safetensors"
    if (found := _read(file)) is not None:
        say(f"tokenized data: read from {file}")
        return found
    started = time.perf_counter()
    features = featurize()
    if time.perf_counter() - started >= WORTH_KEEPING_SECONDS:
        try:
            _remove_unused(folder, say)
            _write(features, file)
        except OSError as error:  # A full or read-only disk costs the next run a little time.
            say(f"note: tokenized data is not kept: {error}")
        else:
            say(f"tokenized data: kept in {file} ({file.stat().st_size / 1e6:,.1f} MB)")
    return features


def feature_key(
    task: Any, examples: Sequence[Any], tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> str:
    """A name for everything that tokenized data depends on."""
    found = hashlib.sha256()
    settings: dict[str, Any] = {
        "format": FORMAT,
        "task": {name: value for name, value in vars(task).items() if name[0] != "_"},
        "name": task.name,
        "max_length": max_length,
        "tokenizer": type(tokenizer).__name__,
        "special": tokenizer.special_tokens_map,
        "inputs": tokenizer.model_input_names,
        "padding": [tokenizer.pad_token_id, tokenizer.padding_side, tokenizer.truncation_side],
        "versions": [version(name) for name in ("tokenizers", "transformers")],
    }
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend:
        settings["content"] = json.loads(backend.to_str())
        for last_call in ("truncation", "padding"):  # What it was last asked for.
            settings["content"].pop(last_call, None)
    else:
        settings["content"] = tokenizer.get_vocab()
    found.update(json.dumps(settings, sort_keys=True, default=_plain).encode())
    # Every field but those, so that no task is asked which of them it reads.
    names = [f.name for f in dataclasses.fields(examples[0]) if f.name not in _WHERE_FROM]
    for example in examples:
        parts = [getattr(example, name) for name in names]
        found.update(json.dumps(parts, default=_plain).encode() + b"\n")
    return found.hexdigest()[:32]


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _read(file: Path) -> Features | None:
    try:
        with safe_open(str(file), framework="numpy") as content:
            arrays: dict[str, Any] = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            numbers: dict[str, Any] = {name: int(content.metadata()[name]) for name in _NUMBERS}
            schema = json.loads(content.metadata()["schema"])
        features = Features(
            **{name: array for name, array in arrays.items() if name not in schema},
            **numbers,
            arrays={name: arrays[name] for name in schema},
            schema={name: Array(**kind) for name, kind in schema.items()},
        )
        whole = len(features.input_ids) == features.starts[-1]
        whole = whole and len(features.examples) == len(features.starts) - 1
        os.utime(file)  # Used now: not to be removed soon.
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, IndexError):
        return None
    return features if whole else None


def _write(features: Features, file: Path) -> None:
    arrays = {name: getattr(features, name) for name in _ARRAYS} | features.arrays
    metadata = {name: str(getattr(features, name)) for name in _NUMBERS}
    metadata["schema"] = json.dumps({n: dataclasses.asdict(k) for n, k in features.schema.items()})
    content = {n: np.ascontiguousarray(a) for n, a in arrays.items() if a is not None}
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, suffix=".partial")
    os.close(handle)
    try:
        save_file(content, name, metadata=metadata)
        os.replace(name, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _remove_unused(folder: Path, say: Callable[[str], None]) -> None:
    oldest = time.time() - KEPT_DAYS * 86_400
    # By their names: whatever else lies there, such as a model's weights, is somebody's.
    ours = (f for f in folder.glob("*.safetensors") if _OUR_NAME.fullmatch(f.name))
    unused = [f for f in ours if f.stat().st_mtime < oldest]
    for file in unused:
        file.unlink(missing_ok=True)
    if unused:
        say(
            f"tokenized data: {len(unused)} files unused for {KEPT_DAYS} days removed from {folder}"
        )
