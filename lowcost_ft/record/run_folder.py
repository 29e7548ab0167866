"""The folder of a run: claimed by one run at a time, never taken from an earlier one unasked."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lowcost_ft.errors import UserError
from lowcost_ft.record.folder_lock import LOCK_FILE, InUseError, locked
from lowcost_ft.record.overwriting import check_not_read
from lowcost_ft.record.run_file import CHECKPOINTS, RUN_FILE, load_run

__all__ = ["CHECKPOINTS", "check_free", "check_output_dir", "claimed_output_dir"]
__all__ += ["clear_output_dir", "files_of_run", "kind_of_record", "remove_checkpoints"]

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
"""Files that a tokenizer writes. It opens them in place, so that it writes through links."""

_MADE = {
    "export": "an exported model",
    "compress": "a compressed model",
    "merged_from": "a merged model",
}
"""Fields of run.json which say that a command made the folder from a run."""


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
            `resume` is given; the run to resume is complete; the run would replace files of
            something else or files that it reads; or the folder cannot be created or written.
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
                claim.enter_context(locked(folder))
                _check_contents(folder, overwrite=overwrite, resume=resume)
        except InUseError:
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


def check_output_dir(
    folder: str | Path, reads: Mapping[str, str | Path | None], *, new: bool = False
) -> None:
    """Refuses a run folder in which the run would replace what it reads; changes nothing.

    Args:
        folder: What `--output-dir` names; it need not exist.
        reads: Files and folders that the run reads, by flag.
        new: Whether it must not hold a run or a model either.

    Raises:
        UserError: It would replace some of them, or holds what it must not.
    """
    replaced = files_of_run(folder)
    replaced += [Path(folder) / name for name in _TOKENIZER_FILES]
    check_not_read("--output-dir", folder, replaced=replaced, reads=reads)
    if new:
        if Path(folder).is_file():
            raise UserError(f"--output-dir {folder} is a file: name a folder")
        _check_contents(Path(folder), overwrite=None, resume=False)


def check_free(path: str | None, *, overwrite: bool, resume: bool) -> None:
    """Refuses a run folder that a run will not get once other runs before it are done.

    Args:
        path: What `--output-dir` names; without one, a free folder is found later.
        overwrite: See `claimed_output_dir`.
        resume: See `claimed_output_dir`.

    Raises:
        UserError: It is a file, or holds what may not be replaced.
    """
    if path is None:
        return
    if Path(path).is_file():
        raise UserError(f"--output-dir {path} is a file: name a folder")
    _check_contents(Path(path), overwrite=overwrite, resume=resume)


def files_of_run(folder: str | Path) -> list[Path]:
    """Files of a run in a folder, its checkpoints included: replacing the run removes them."""
    found: list[Path] = []
    with contextlib.suppress(FileNotFoundError):  # Another run is removing its empty folder.
        for pattern in _OUTPUT_PATTERNS:
            found += Path(folder).glob(pattern)
    checkpoints = Path(folder) / CHECKPOINTS
    return found + [Path(top) / name for top, _, names in os.walk(checkpoints) for name in names]


def clear_output_dir(folder: Path, *, keep_checkpoints: bool = False) -> None:
    """Removes what an earlier run wrote, and nothing else.

    Call it when only the training itself can still fail.

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
    """Removes the checkpoints of a run that is over."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


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
    """What messages call the content of a folder: a run, or a model that a command made of one."""
    with contextlib.suppress(UserError):
        return kind_of_record(load_run(folder, completed=False)) or "a run"
    return "a run"


def kind_of_record(record: Mapping[str, Any]) -> str | None:
    """What messages call a model that a command made of a run; None for a run itself."""
    return next((kind for field, kind in _MADE.items() if record.get(field)), None)


def _newest_unfinished(
    parent: Path,
    name: str,
    claim: contextlib.ExitStack,
    reads: Mapping[str, str | Path | None],
) -> Path | None:
    """Locks and returns the newest run that is neither complete nor in use; None without one.

    Raises:
        UserError: There are runs, and all of them are complete.
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
        with contextlib.suppress(InUseError), contextlib.ExitStack() as attempt:
            attempt.enter_context(locked(folder))
            claim.push(attempt.pop_all())
            return folder
    if complete is not None:
        raise UserError(
            f"the run in {complete} is complete, and no other of that name is unfinished: there is "
            "nothing to resume. Leave --resume out, or name the folder with --output-dir"
        )
    return None


def _first_free(parent: Path, name: str, claim: contextlib.ExitStack) -> Path:
    """Locks and returns the first folder that is new, or empty, as a killed run may leave it."""
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        # A folder with something in it is not touched, not even by a lock.
        if not folder.exists() or _is_empty(folder):
            # Locking is the test: of two runs that start together, one goes on to the next number.
            with contextlib.suppress(InUseError), contextlib.ExitStack() as attempt:
                attempt.enter_context(locked(folder))
                if _is_empty(folder):
                    claim.push(attempt.pop_all())
                    return folder
        number += 1


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {LOCK_FILE}
