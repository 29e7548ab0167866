"""Hidden states on disk: written whole or not at all, read memory-mapped.

A cache folder holds, for each key, a folder KEY with `states.bin`, `(total_tokens, hidden)` in the
order of the rows without padding, and `manifest.json`. While it is written it is called
KEY.partial; only a finished one is renamed.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowcost_ft.errors import UserError

__all__ = ["DTYPES", "PartialStates", "StoredStates", "check_space", "default_cache_dir", "locked"]
__all__ += ["clear_padding", "open_stored", "padded_index"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions that states can be kept in."""

_STATES, _MANIFEST = "states.bin", "manifest.json"
_SPARE_BYTES = 64 * 2**20
"""Disk that must stay free beside the cache: the run itself still has to be saved."""
_NAMED = 5
"""How many caches of other runs are named when the disk is too small."""


def default_cache_dir() -> Path:
    """`frozen_layers` in LOWCOST_FT_CACHE, else in the user's cache folder."""
    if own := os.environ.get("LOWCOST_FT_CACHE"):
        return Path(own).expanduser() / "frozen_layers"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "lowcost_ft" / "frozen_layers"


def check_space(
    folder: Path,
    num_bytes: int,
    *,
    in_use: Iterable[Path] = (),
    setting: str = "cache_frozen_layers",
) -> int:
    """Bytes that are free where `folder` is or will be.

    Args:
        folder: Holds all caches.
        num_bytes: What is to be written.
        in_use: The folders in it that the run needs.
        setting: What is to be written belongs to it; for messages.

    Raises:
        UserError: Fewer than `num_bytes` and a little to spare; names the caches of other runs.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    if num_bytes + _SPARE_BYTES > free:
        needed = f"{num_bytes / 1e6:,.0f} MB of disk"
        if setting != "cache_frozen_layers":
            raise UserError(
                f"{setting}: what is kept needs {needed}, and {existing} has {free / 1e6:,.0f} MB "
                "free: make room, or set LOWCOST_FT_CACHE to a folder on another disk"
            )
        raise UserError(
            f"cache_frozen_layers: the states need {needed} (and "
            f"{_SPARE_BYTES / 1e6:,.0f} MB to spare), and {existing} has {free / 1e6:,.0f} MB "
            "free: make room, name another disk with --cache-dir, halve it with --cache-dtype "
            f"bf16, or leave the flag out{_others(folder, set(in_use))}"
        )
    return free


def _others(folder: Path, in_use: set[Path]) -> str:
    """Which caches of other runs could be deleted, the largest first."""
    sizes = {
        found.parent: found.stat().st_size
        for found in folder.glob(f"*/{_STATES}")
        if found.parent not in in_use
    }
    if not sizes:
        return ""
    largest = sorted(sizes, key=lambda path: -sizes[path])[:_NAMED]
    listed = "".join(f"\n    {sizes[path] / 1e6:,.0f} MB  {path}" for path in largest)
    return (
        f". Caches of other runs take {sum(sizes.values()) / 1e6:,.0f} MB there. Delete what you "
        f"no longer need with `rm -r FOLDER`; it is built again when needed:{listed}"
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other runs from writing the same `folder` meanwhile; waits for one that does."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(folder.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Released when the file is closed, and by a crash.
        yield


@dataclass(frozen=True, kw_only=True)
class StoredStates:
    """States of all rows of a data set, memory-mapped.

    Attributes:
        flat: `(total_tokens, hidden)`, in the precision that they are kept in.
        dtype: Precision that the model itself gave them.
        num_bytes: Their size on disk.
    """

    flat: torch.Tensor
    dtype: torch.dtype
    num_bytes: int

    def padded(
        self, starts: np.ndarray, lengths: np.ndarray, *, pin_memory: bool = False
    ) -> torch.Tensor:
        """States of some rows, `(rows, longest, hidden)`, read from disk.

        Padding is zeros, as the embeddings give it: some DeBERTa-v2 models have a convolution
        that reads a row's neighbours, masked or not.

        Args:
            starts: First token of each row.
            lengths: Tokens of each row.
            pin_memory: Read into memory that a GPU can fetch from while the host goes on.
        """
        source = padded_index(starts, lengths)
        index = source.view(-1)
        shape = (len(index), self.flat.shape[1])
        states = torch.empty(shape, dtype=self.flat.dtype, pin_memory=pin_memory)
        torch.index_select(self.flat, 0, index, out=states)
        return clear_padding(states.view(*source.shape, -1), lengths)


def padded_index(starts: np.ndarray, lengths: np.ndarray) -> torch.Tensor:
    """Where the tokens of some rows are, `(rows, longest)`; padding repeats a row's first token."""
    columns = np.arange(int(lengths.max()))
    return torch.from_numpy(starts[:, None] + np.where(columns < lengths[:, None], columns, 0))


def clear_padding(states: torch.Tensor, lengths: np.ndarray) -> torch.Tensor:
    """Makes what lies behind the tokens of each row zeros, in place, `(rows, longest, hidden)`."""
    for row, length in enumerate(lengths):
        if length < states.shape[1]:
            states[row, int(length) :] = 0
    return states


def open_stored(folder: Path) -> StoredStates | None:
    """Opens a finished cache; None where there is none, or one whose file has another size."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
        shape, stored = tuple(manifest["shape"]), DTYPES[manifest["stored_dtype"]]
        num_bytes = shape[0] * shape[1] * stored.itemsize
        if (folder / _STATES).stat().st_size != num_bytes:
            return None
        flat = torch.from_file(
            str(folder / _STATES), shared=False, size=shape[0] * shape[1], dtype=stored
        )
        dtype = getattr(torch, manifest["dtype"])
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return StoredStates(flat=flat.view(shape), dtype=dtype, num_bytes=num_bytes)


class PartialStates:
    """A cache folder while it is written, by one process or by several at once."""

    def __init__(
        self,
        folder: Path,
        *,
        shape: tuple[int, int],
        stored_dtype: str,
        setting: str = "cache_frozen_layers",
    ) -> None:
        self.setting = setting  # For messages.
        self.folder = folder
        self.path = folder.with_name(folder.name + ".partial")
        self.shape = shape
        self.stored_dtype = stored_dtype
        self.num_bytes = shape[0] * shape[1] * DTYPES[stored_dtype].itemsize

    def begin(self) -> None:
        """Makes an empty folder; the caller holds the lock, so an older one is left over."""
        self.discard()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.path.mkdir()
        (self.path / _STATES).touch()

    def discard(self) -> None:
        """Removes what was written so far."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write(self, rows: Iterator[tuple[int, torch.Tensor]]) -> None:
        """Writes rows: the number of a row's first token, and its states, `(tokens, hidden)`.

        Raises:
            UserError: The disk filled up meanwhile or is not the one that the main process sees, or
                a state is too large for fp16.
        """
        dtype = DTYPES[self.stored_dtype]
        try:
            with open(self.path / _STATES, "r+b") as file:
                for start, states in rows:
                    kept = states.to(dtype).contiguous()
                    if dtype == torch.float16 and not torch.isfinite(kept).all():
                        if self.setting != "cache_frozen_layers":
                            raise UserError(
                                f"{self.setting}: the states are larger than fp16 can hold; add "
                                "--teacher-states 0"
                            )
                        raise UserError(
                            "cache_frozen_layers: this model's states are larger than fp16 can "
                            "hold; add --cache-dtype bf16 (or fp32)"
                        )
                    file.seek(start * self.shape[1] * dtype.itemsize)
                    file.write(kept.view(torch.uint8).numpy().data)
                # Before the rename: else a power cut could leave a whole name on half a file.
                file.flush()
                os.fsync(file.fileno())
        except FileNotFoundError as error:
            raise UserError(
                "cache_frozen_layers: the processes do not see one cache folder; give --cache-dir "
                "a folder on a disk that all machines share, or leave the flag out"
            ) from error
        except OSError as error:
            raise UserError(f"{self.setting}: cannot write {self.path}: {error}") from error

    def finish(self, description: dict[str, Any]) -> None:
        """Declares the cache complete, once all rows are written.

        Args:
            description: What the key was made of, for the reader of the manifest.
        """
        manifest = description | {"shape": self.shape, "stored_dtype": self.stored_dtype}
        with open(self.path / _MANIFEST, "w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(self.path)
        os.rename(self.path, self.folder)
        _sync_folder(self.folder.parent)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
