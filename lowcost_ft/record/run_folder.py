"""The folder of a run: claimed by one run at a time, never taken from an earlier one unasked."""

import contextlib
import fcntl
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from lowcost_ft.errors import UserError
from lowcost_ft.record.overwriting import check_not_read
from lowcost_ft.record.run_file import RUN_FILE, load_run

__all__ = ["CHECKPOINTS", "check_output_dir", "claimed_output_dir", "clear_output_dir"]
__all__ += ["files_of_run", "remove_checkpoints"]

CHECKPOINTS = "checkpoints"
"""The folder in a run's folder that lets it go on when it is stopped."""

_LOCK_FILE = ".lock"
"""Locked while a run goes on, and removed when it ends. One that a killed run left blocks nobody:
the system gives the lock back, whatever becomes of the file."""

_ATTEMPTS = 1000

# What a run writes at the top of its folder, apart from the tokenizer. Replacing a run removes
# these first: a config.json left by full fine-tuning would make an adapter folder unloadable.
_OUTPUT_PATTERNS = (
    *(RUN_FILE, "README.md", "predictions.jsonl", "config.json"),
    *("adapter_config.json", "adapter_model.safetensors"),
    *("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"),
    "novelty.safetensors",
    "onnx/model*.onnx",
)

_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
    *("source.spm", "target.spm", "vocab.json"),  # Marian's.
)
"""What a tokenizer writes; opened where they are, so that a link's target would be overwritten."""


_MADE = {
    "export": "an exported model",
    "compress": "a compressed model",
    "merged_from": "a merged model",
}
"""Fields of run.json that say that a folder is no run of its own."""


class _InUseError(Exception):
    """Another run holds the folder."""


@contextlib.contextmanager
def claimed_output_dir(
    path: str | None,
    default_name: str,
    *,
    overwrite: bool | None = False,
    resume: bool = False,
    reads: Mapping[str, str | Path | None] | None = None,
) -> Iterator[Path]:
    """Creates the folder of a new run, or takes an empty one, and keeps other runs out of it.

    An earlier run that may be replaced stays whole until `clear_output_dir`. A folder that is
    still empty when the block fails is removed: it would only take the name.

    Args:
        path: The folder that the user named, or None for `runs/<default_name>`, or
            `runs/<default_name>-2`, -3 and so on where that is taken.
        default_name: Used without a path.
        overwrite: Whether an earlier run in `path` may be replaced; None where nobody can say so.
        resume: Whether to go on with an unfinished run: the one in `path`, or without a path the
            newest of the default name. Where there is none, a new one begins.
        reads: What the run reads, by flag; see `check_output_dir`.

    Yields:
        The folder, which exists.

    Raises:
        UserError: Another run is going on in the folder; it holds a run and neither `overwrite` nor
            `resume` is given; the run to go on with is complete;
            it holds files of something else, or of what is read, that the run would replace; or it
            cannot be created or written.
    """
    with contextlib.ExitStack() as claim:
        try:
            if path is None:
                taken = None
                if resume:
                    taken = _newest_unfinished(Path("runs"), default_name, claim, reads or {})
                folder = taken or _first_free(Path("runs"), default_name, claim)
            else:
                folder = Path(path)
                if folder.is_file():
                    raise UserError(f"--output-dir {path} is a file: name a folder")
                check_output_dir(folder, reads or {})
                claim.enter_context(_locked(folder))
                _check_contents(folder, overwrite=overwrite, resume=resume)
        except _InUseError:
            raise UserError(
                f"--output-dir {path} is in use: another run is writing there. Wait for its end, "
                "or name another folder"
            ) from None
        except OSError as error:
            raise UserError(
                f"the output folder {error.filename or path} cannot be written: "
                f"{error.strerror}. Name another --output-dir"
            ) from None
        yield folder


def check_output_dir(folder: str | Path, reads: Mapping[str, str | Path | None]) -> None:
    """Refuses a run folder in which the run would replace what it reads; changes nothing.

    Args:
        folder: What `--output-dir` names; it need not exist.
        reads: Files and folders that the run reads, by flag.

    Raises:
        UserError: It would replace some of them.
    """
    replaced = files_of_run(folder)
    replaced += [Path(folder) / name for name in _TOKENIZER_FILES]
    check_not_read("--output-dir", folder, replaced=replaced, reads=reads)


def files_of_run(folder: str | Path) -> list[Path]:
    """The files there that a run writes, and that replacing it removes, checkpoints included."""
    found: list[Path] = []
    with contextlib.suppress(FileNotFoundError):  # Another run removes its empty folder just now.
        for pattern in _OUTPUT_PATTERNS:
            found += Path(folder).glob(pattern)
    checkpoints = Path(folder) / CHECKPOINTS
    return found + [Path(top) / name for top, _, names in os.walk(checkpoints) for name in names]


def clear_output_dir(folder: Path, *, keep_checkpoints: bool = False) -> None:
    """Removes what an earlier run wrote, and nothing else.

    To be called when nothing but the training itself can go wrong any more.

    Args:
        folder: The run folder.
        keep_checkpoints: Whether the run that begins goes on from one of them.
    """
    for pattern in _OUTPUT_PATTERNS:
        for file in folder.glob(pattern):
            file.unlink()
    if not keep_checkpoints:
        remove_checkpoints(folder)


def remove_checkpoints(folder: Path) -> None:
    """Removes the checkpoints of a run that needs them no more."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Creates the folder and holds it; on the way out an empty one is removed.

    Raises:
        _InUseError: Another process holds it.
    """
    lock = folder / _LOCK_FILE
    with _open_locked(lock):
        try:
            yield
        finally:
            # Still locked: who waits for this very file sees below that it is no longer there.
            with contextlib.suppress(OSError):
                lock.unlink()
                folder.rmdir()  # only where nothing was written


@contextlib.contextmanager
def _open_locked(lock: Path) -> Iterator[None]:
    attempts = 0
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = open(lock, "ab")  # noqa: SIM115 (closed below, which unlocks it)
        except (FileExistsError, FileNotFoundError):
            # The run before us removes its empty folder just now (or there is a broken link).
            attempts += 1
            if attempts == _ATTEMPTS:
                raise
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _InUseError from None
            except OSError as error:  # some network disks
                print(
                    f"note: {lock.parent} lies on a disk that cannot lock files "
                    f"({error.strerror}): do not start a second run there",
                    file=sys.stderr,
                )
            else:
                if not _is_same_file(lock, file.fileno()):
                    continue
            yield
            return


def _is_same_file(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _check_contents(folder: Path, *, overwrite: bool | None, resume: bool) -> None:
    earlier = sorted(file for pattern in _OUTPUT_PATTERNS for file in folder.glob(pattern))
    has_checkpoints = (folder / CHECKPOINTS).is_dir()
    replaced = "delete it" if overwrite is None else "replace it with --overwrite"
    advice = f"name another folder, or {replaced}"
    if has_checkpoints and overwrite is not None:
        advice = f"continue it with --resume, {advice}"
    if (folder / RUN_FILE).exists():
        if resume and load_run(folder, completed=False)["status"] == "completed":
            raise UserError(f"the run in {folder} is complete: there is nothing to resume")
        if not overwrite and not resume:
            raise UserError(
                f"--output-dir {folder} already holds {_kind_of(folder)} ({RUN_FILE}): {advice}"
            )
    elif has_checkpoints:
        if not overwrite and not resume:
            raise UserError(f"--output-dir {folder} holds a run that was stopped: {advice}")
    elif earlier:
        names = ", ".join(file.name for file in earlier)
        raise UserError(
            f"--output-dir {folder} holds files that are not of a run and that this run would "
            f"replace ({names}): name another folder"
        )


def _kind_of(folder: Path) -> str:
    """What wrote the record in a folder: training, or a command that makes a model of a run."""
    with contextlib.suppress(UserError):
        record = load_run(folder, completed=False)
        for field, kind in _MADE.items():
            if record.get(field):
                return kind
    return "a run"


def _newest_unfinished(
    parent: Path,
    name: str,
    claim: contextlib.ExitStack,
    reads: Mapping[str, str | Path | None],
) -> Path | None:
    """Locks the run of the highest number that is neither complete nor going on.

    Raises:
        UserError: There are only complete ones.
    """
    complete = None
    numbered = re.compile(re.escape(name) + r"(?:-(\d+))?")
    found = [(m, path) for path in parent.glob(f"{name}*") if (m := numbered.fullmatch(path.name))]
    for _, folder in sorted(found, key=lambda item: int(item[0][1] or 1), reverse=True):
        if (folder / RUN_FILE).exists():
            if load_run(folder, completed=False)["status"] == "completed":
                complete = complete or folder
                continue
        elif not (folder / CHECKPOINTS).is_dir():
            continue
        check_output_dir(folder, reads)
        with contextlib.suppress(_InUseError), contextlib.ExitStack() as attempt:
            attempt.enter_context(_locked(folder))
            claim.push(attempt.pop_all())
            return folder
    if complete is not None:
        raise UserError(
            f"the run in {complete} is complete, and no other of that name is unfinished: there is "
            "nothing to resume. Leave --resume out, or name the folder with --output-dir"
        )
    return None


def _first_free(parent: Path, name: str, claim: contextlib.ExitStack) -> Path:
    """Locks the first folder that is new or empty, such as one that a killed run left."""
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        # A folder with something in it is not touched, not even by a lock.
        if not folder.exists() or _is_empty(folder):
            # Locking is the test: of two runs that start together, one goes on to the next number.
            with contextlib.suppress(_InUseError), contextlib.ExitStack() as attempt:
                attempt.enter_context(_locked(folder))
                if _is_empty(folder):
                    claim.push(attempt.pop_all())
                    return folder
        number += 1


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {_LOCK_FILE}
