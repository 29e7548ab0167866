"""Which states are missing, how much disk they need, and who computes them, in all processes."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from lowcost_ft.errors import UserError
from lowcost_ft.frozen.stored_states import (
    PartialStates,
    StoredStates,
    check_space,
    locked,
    open_stored,
)
from lowcost_ft.frozen.streaming import streaming_disk_bytes

__all__ = ["announce", "fill_missing", "from_main", "is_main", "opened"]


def is_main(accelerator: Accelerator) -> bool:
    """Whether this is the process that decides and writes."""
    return bool(accelerator.is_main_process)


def from_main(value: Any) -> Any:
    """The main process's value, in every process."""
    values = [value]
    broadcast_object_list(values)
    return values[0]


def announce(
    accelerator: Accelerator,
    wanted: dict[str, PartialStates],
    base: Path,
    say: Callable[[str], None],
    *,
    stages: int,
    growth: float,
) -> None:
    """Says how much disk the missing states need, before anything is written.

    Raises:
        UserError: There is not enough; raised in every process.
    """
    problem = None
    missing = {n: w.num_bytes for n, w in wanted.items() if open_stored(w.folder) is None}
    if is_main(accelerator) and missing:
        kept = sum(missing.values())
        needed = streaming_disk_bytes(missing, stages, growth=growth) if stages > 1 else kept
        try:
            free = check_space(base, needed, in_use=[w.folder for w in wanted.values()])
        except UserError as error:
            problem = str(error)
        else:
            meanwhile = f" ({needed / 1e6:,.1f} MB while they are made)" if needed > kept else ""
            say(
                f"frozen layers: the states ({', '.join(missing)}) need {kept / 1e6:,.1f} MB of "
                f"disk{meanwhile} in {base} ({free / 1e6:,.0f} MB free)"
            )
    if problem := from_main(problem):
        raise UserError(problem)


def fill_missing(
    accelerator: Accelerator,
    names: list[str],
    wanted: dict[str, PartialStates],
    descriptions: dict[str, dict[str, Any]],
    compute: Callable[[list[str]], None],
) -> list[str]:
    """Computes the states of those data sets that are not there yet.

    The main process looks, decides, and holds the locks meanwhile; all processes compute.

    Returns:
        The names of those that were not there.
    """
    # Two data sets may be the same.
    folders = {wanted[name].folder: name for name in reversed(names)}
    with ExitStack() as locks:
        missing, problem = [], None
        if is_main(accelerator):
            # In the same order in every run, so that no two wait for each other.
            for folder, name in sorted(folders.items()):
                if open_stored(folder) is not None:
                    continue
                try:
                    locks.enter_context(locked(folder))
                    if open_stored(folder) is None:  # Else another run has made them meanwhile.
                        wanted[name].begin()
                        missing.append(name)
                except OSError as error:
                    problem = f"cache_frozen_layers: cannot write {folder}: {error}"
                    break
        # Every process must know, or they would wait for each other.
        missing, problem = from_main((missing, problem))
        try:
            if problem:
                raise UserError(problem)
            if missing:
                compute(missing)
                accelerator.wait_for_everyone()
                if is_main(accelerator):
                    for name in missing:
                        wanted[name].finish(descriptions[name])
        except BaseException:
            for name in missing:
                wanted[name].discard()
            raise
    accelerator.wait_for_everyone()
    return missing


def opened(folder: Path) -> StoredStates:
    """The states that lie in a folder.

    Raises:
        UserError: This process does not see them.
    """
    stored = open_stored(folder)
    if stored is None:
        raise UserError(
            f"cache_frozen_layers: this process does not see {folder}; give --cache-dir a folder "
            "on a disk that all machines share, or leave the flag out"
        )
    return stored
