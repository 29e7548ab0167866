"""No command may delete or overwrite what it reads: one function decides, for all of them.

Files are compared by device and inode, so that links, relative paths and other names of one file
make no difference.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lowcost_ft.errors import UserError

__all__ = ["check_not_read", "paths_of_settings"]

_WRITTEN = {"output_dir", "output", "plot", "cache_dir"}
"""Settings that name what is written, not what is read."""

_Id = tuple[int, int]


def check_not_read(
    flag: str,
    target: str | Path,
    *,
    replaced: Iterable[Path],
    reads: Mapping[str, str | Path | None],
) -> None:
    """Refuses to write where that would delete or overwrite what the same command reads.

    Args:
        flag: What names the target, such as `--output-dir`.
        target: The file or folder that will be written.
        replaced: The files in it, or it itself, that will be deleted or overwritten.
        reads: By what the user calls them (`--model-id`), the files and folders that are read. A
            folder is read as models and saved data sets are: its files, and those of its splits.
            What does not exist is not read from this machine.

    Raises:
        UserError: Names every flag whose files would be lost.
    """
    read: dict[_Id, tuple[str, Path]] = {}
    problems = []
    for name, given in reads.items():
        path = None if given is None else Path(given).expanduser()
        if path is None or (here := _identity(path)) is None:
            continue
        if path.is_dir() and (path / "config.json").is_file() and here == _identity(Path(target)):
            # A tokenizer has files of any name, which the new one would overwrite.
            problems.append(f"{flag} {target} is the folder that {name} is read from")
            continue
        for file in _files_read(path):
            if (found := _identity(file)) is not None:
                read.setdefault(found, (name, file))
    refused = {name for problem in problems for name in reads if f" {name} " in problem}
    for file in replaced:
        if (found := _identity(file)) in read and found is not None:
            name, source = read[found]
            if name not in refused:
                refused.add(name)
                problems.append(
                    f"{flag} {target} would replace {file}, which is read as {name}"
                    + ("" if source == file else f" ({source})")
                )
    if problems:
        problems[-1] += ". Nothing was changed: name another place to write to"
        raise UserError(problems)


def paths_of_settings(settings: Mapping[str, object]) -> dict[str, str]:
    """The files and folders that settings name, by their flags: whatever exists may be read."""
    return {
        f"--{name.replace('_', '-')}": value
        for name, value in settings.items()
        if name not in _WRITTEN and isinstance(value, str) and value and _exists(Path(value))
    }


def _exists(path: Path) -> bool:
    return _identity(path.expanduser()) is not None


def _files_read(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for entry in path.iterdir():
        if entry.is_file():
            yield entry
        elif (entry / "state.json").is_file():  # a split of a saved data set
            yield from entry.iterdir()


def _identity(path: Path) -> _Id | None:
    """What all names of one file share; None where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a null byte in what is not meant as a path
        return None
    return found.st_dev, found.st_ino
