"""Checkpoint folders on disk, which are written whole or not at all and checked when read.

`checkpoints/step-00000120/` holds tensors (safetensors) and numbers (`state.json`), and a
`manifest.json` with the size and SHA-256 sum of each file. While it is written it has another name;
it is renamed when everything has reached the disk. Nothing in it is ever unpickled.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

__all__ = ["Checkpoint", "newest_checkpoint", "prune", "save_tensors", "sync_folder"]
__all__ += ["write_checkpoint"]

FORMAT = 1
"""Number of the layout of checkpoints; a run does not resume from one of another layout."""

_NAME = re.compile(r"step-(\d{8,})")
_MANIFEST, _STATE = "manifest.json", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint.

    Attributes:
        folder: Where it lies.
        step: Optimizer steps that were done.
        state: Everything in it that is not a tensor.
    """

    folder: Path
    step: int
    state: dict[str, Any]

    def path(self, name: str) -> Path:
        """The file for tensors of this name, which need not exist."""
        return self.folder / f"{name}.safetensors"

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """Reads the tensors that were saved under this name."""
        return load_file(self.path(name))


def write_checkpoint(
    parent: Path,
    step: int,
    *,
    state: Mapping[str, Any],
    tensors: Mapping[str, Mapping[str, torch.Tensor]],
    copies: Mapping[str, Path],
) -> None:
    """Writes the checkpoint of a step.

    Args:
        parent: The folder of all checkpoints of the run.
        step: Optimizer steps that were done.
        state: Everything that JSON can hold.
        tensors: Tensors by file and name.
        copies: Existing files of tensors to add, by the name that they get.

    Raises:
        OSError: The checkpoint could not be written. Nothing is left of it; others are intact.
        SafetensorError: The same, while tensors were written.
    """
    final, temporary = parent / f"step-{step:08d}", parent / f".step-{step:08d}.tmp"
    try:
        _remove(temporary)
        temporary.mkdir(parents=True)
        for name, values in tensors.items():
            save_file(dict(values), temporary / f"{name}.safetensors")
        for name, source in copies.items():
            _link_or_copy(source, temporary / f"{name}.safetensors")
        (temporary / _STATE).write_text(json.dumps(state), "utf-8")
        files = {path.name: _describe(path) for path in sorted(temporary.iterdir())}
        manifest = {"format": FORMAT, "step": step, "files": files}
        (temporary / _MANIFEST).write_text(json.dumps(manifest, indent=2), "utf-8")
        sync_folder(temporary)
        if final.exists():  # It was damaged, or a resumed run passed it over.
            _remove(final)
        os.rename(temporary, final)
        sync_folder(parent, files=False)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def newest_checkpoint(parent: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, None without one; damaged ones are skipped with a notice."""
    for step, folder in sorted(checkpoint_folders(parent).items(), reverse=True):
        try:
            return Checkpoint(folder, step, _read(folder))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            say(f"note: checkpoint {folder} is skipped: {error}")
    return None


def prune(parent: Path, *, newest: int, keep: int) -> None:
    """Keeps the last `keep` checkpoints up to the step `newest`; removes others and leftovers."""
    steps = checkpoint_folders(parent)
    kept = set(sorted(step for step in steps if step <= newest)[-keep:])
    for step, folder in steps.items():
        if step not in kept:
            _remove(folder)
    for leftover in parent.glob(".step-*"):
        _remove(leftover)


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Writes a file of tensors, whole or not at all.

    An older file of that name is replaced and not overwritten, so that hard links to it in
    checkpoints keep its content.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, temporary)
    _sync(temporary)
    os.replace(temporary, path)


def sync_folder(folder: Path, *, files: bool = True) -> None:
    """Waits until a folder, and the files in it, have reached the disk."""
    for path in folder.iterdir() if files else ():
        if path.is_file():
            _sync(path)
    _sync(folder)


def checkpoint_folders(parent: Path) -> dict[int, Path]:
    if not parent.is_dir():
        return {}
    named = ((_NAME.fullmatch(path.name), path) for path in parent.iterdir())
    return {int(match[1]): path for match, path in named if match}


def _read(folder: Path) -> dict[str, Any]:
    """Checks every file of a checkpoint, and returns its state.

    Raises:
        ValueError: Something is missing, changed, or does not belong there.
    """
    if not (folder / _MANIFEST).is_file():
        raise ValueError(f"it lacks {_MANIFEST}")
    manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
    if manifest["format"] != FORMAT:
        raise ValueError(f"it has format {manifest['format']}, but this version reads {FORMAT}")
    expected = manifest["files"]
    present = {path.name for path in folder.iterdir()} - {_MANIFEST}
    if foreign := sorted(present - set(expected)):
        raise ValueError(f"it holds {foreign[0]}, which is not in its manifest")
    for name, described in expected.items():
        if name not in present:
            raise ValueError(f"it lacks {name}")
        if _describe(folder / name) != described:
            raise ValueError(f"{name} has changed since it was written (size or SHA-256 sum)")
    return json.loads((folder / _STATE).read_text("utf-8"))


def _describe(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return {
            "bytes": os.fstat(file.fileno()).st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # The file system has no hard links.
        shutil.copyfile(source, target)


def _remove(folder: Path) -> None:
    """Removes a checkpoint; if that is interrupted, what is left has another name."""
    if not folder.exists():
        return
    doomed = folder
    if _NAME.fullmatch(folder.name):
        doomed = folder.with_name(f".{folder.name}.old")
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(doomed)
        os.rename(folder, doomed)
    shutil.rmtree(doomed)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
