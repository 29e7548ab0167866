"""The run folder and its `run.json`: what was run, on what, with which result, also on failure."""

import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from lowcost_ft.data.rows import counted
from lowcost_ft.errors import UserError, is_out_of_memory
from lowcost_ft.record.redaction import redact_run

__all__ = [
    "CHECKPOINTS",
    "RUN_FILE",
    "SCHEMA_VERSION",
    "load_record",
    "load_run",
    "record_run",
    "saved_bytes",
    "status_of",
    "write_atomically",
    "write_json",
    "write_predictions",
    "write_run",
]

RUN_FILE = "run.json"
CHECKPOINTS = "checkpoints"
"""The folder in a run's folder that lets it go on when it is stopped."""
SCHEMA_VERSION = 1
STATUSES = ("completed", "out_of_memory", "failed", "interrupted")


def write_json(path: str | Path, value: Any) -> None:
    """Writes JSON so that the file is always either the old or the new one, whole.

    NaN and infinity, which JSON does not have, become null. Dataclasses, paths, tuples, sets and
    NumPy values become what JSON has; anything else its text.

    Args:
        path: The file; its folder exists.
        value: What to write.
    """

    def write(file: IO[bytes]) -> None:
        file.write(_encode(_plain(value), indent=2))

    write_atomically(Path(path), write)


def write_run(folder: str | Path, run: Mapping[str, Any]) -> Path:
    """Writes `run.json` with its schema version, and without credentials (`redact_run`).

    Args:
        folder: The run folder.
        run: The record; `status` is one of completed, out_of_memory, failed, interrupted.

    Returns:
        The path of the file.

    Raises:
        ValueError: The status is missing or unknown.
    """
    if run.get("status") not in STATUSES:
        raise ValueError(f"status {run.get('status')!r} is not one of {', '.join(STATUSES)}")
    path = Path(folder) / RUN_FILE
    write_json(path, redact_run(_plain({"schema_version": SCHEMA_VERSION, **run})))
    return path


@contextlib.contextmanager
def record_run(
    folder: str | Path, run: dict[str, Any], *, enabled: bool = True
) -> Iterator[dict[str, Any]]:
    """Writes `run.json` when the block ends, however it ends.

    `status` becomes completed, or tells the kind of failure; then `error` holds the message, and
    the exception goes on. Two failures leave no record: a user's mistake before training, whose
    mended command may name the same folder; and any while `run.json` is still an earlier run's.

    Args:
        folder: The run folder.
        run: The record, filled by the block as it goes.
        enabled: False in every process but the main one.
    """
    try:
        yield run
    except BaseException as error:
        mistake = isinstance(error, UserError) and "train" not in run
        if enabled and not mistake and not (Path(folder) / RUN_FILE).exists():
            text = f"{type(error).__name__}: {error}"[:2000]
            # A full disk must not hide the error that ended the run.
            with contextlib.suppress(OSError):
                write_run(folder, {**run, "status": status_of(error), "error": text})
        raise
    if enabled:
        run.setdefault("status", "completed")
        write_run(folder, run)


def status_of(error: BaseException) -> str:
    """The `status` of a run that ended with this exception."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, SystemExit):
        return "interrupted" if error.code in (130, 143) else "failed"
    return "out_of_memory" if is_out_of_memory(error) else "failed"


def load_run(path: str | Path, *, completed: bool = True) -> dict[str, Any]:
    """Reads the record of a run folder.

    Args:
        path: The run folder.
        completed: Whether to refuse a run that did not complete.

    Returns:
        The content of `run.json`.

    Raises:
        UserError: No such folder, no `run.json` in it, a damaged one, one of another schema
            version, or a run that did not complete.
    """
    folder = Path(path)
    if not folder.exists():
        raise UserError(f"run folder {path} does not exist: give the --output-dir of a run")
    if not folder.is_dir():
        raise UserError(f"{path} is a file: give the run folder that holds {RUN_FILE}")
    file, begun = folder / RUN_FILE, (folder / CHECKPOINTS).is_dir()
    if not file.exists() and begun:
        raise UserError(
            f"the run in {path} was stopped before its end: go on with its command and --resume, "
            "or give another folder"
        )
    if not file.exists() and (runs := sorted(folder.glob(f"*/{RUN_FILE}"))):
        raise UserError(
            f"{path} is a folder of {counted(len(runs), 'run')}: give one of them, such as "
            f"{runs[0].parent}"
        )
    if not file.exists():
        raise UserError(
            f"{path} is not a run folder: it has no {RUN_FILE}. Give the --output-dir of a run "
            "that has ended"
        )
    run = load_record(file)
    if not completed:
        return run
    if run["status"] != "completed":
        error_text = f" ({run['error']})" if run.get("error") else ""
        raise UserError(
            f"the run in {path} did not complete: its status is {run['status']}{error_text}. "
            + ("Go on with its command and --resume" if begun else "Train again")
            + ", or give another folder"
        )
    if missing := [name for name in ("task", "model_id", "method", "labels") if name not in run]:
        raise UserError(f"{file} is damaged: it lacks {', '.join(missing)}: train again")
    return run


def load_record(file: Path) -> dict[str, Any]:
    """Reads a `run.json`, wherever it lies and however the run ended.

    Raises:
        UserError: It cannot be read, is damaged, is something else, or has another schema version.
    """
    try:
        run = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        if file.name != RUN_FILE:
            raise UserError(f"{file} is not the record of a run: it is no JSON object") from None
        raise UserError(f"{file} is damaged ({error}): train again") from None
    if not isinstance(run, dict) or not {"status", "schema_version"} <= set(run):
        raise UserError(f"{file} is not the record of a run: give another folder")
    if run.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{file} has schema version {run.get('schema_version')}, this lowcost_ft reads "
            f"{SCHEMA_VERSION}: use the version that wrote it "
            f"({run.get('versions', {}).get('lowcost_ft')})"
        )
    return run


def saved_bytes(folder: str | Path) -> int:
    """Size of the weights at the top of a run folder: of the adapter, or of the whole model."""
    return sum(file.stat().st_size for file in Path(folder).glob("*.safetensors"))


def write_predictions(
    path: str | Path,
    rows: Sequence[Mapping[str, Any]],
    truths: Sequence[Mapping[str, Any]],
    *,
    losses: Sequence[float] | None = None,
) -> None:
    """Writes one JSON line an example, in the order of the examples.

    Args:
        path: The file, `predictions.jsonl`.
        rows: Input and prediction of each example, as `Task.present` gives them.
        truths: What was right, as `Task.truth_row` gives it, added to the row.
        losses: How wrong each prediction is, added as `loss`.

    Raises:
        ValueError: There are more rows than truths, or fewer.
    """

    def write(file: IO[bytes]) -> None:
        shown: Iterable[float | None] = [None] * len(rows) if losses is None else losses
        for row, truth, loss in zip(rows, truths, shown, strict=True):
            line = {**row, **truth}
            if loss is not None:
                line["loss"] = round(float(loss), 4)
            file.write(_encode(_plain(line)) + b"\n")

    write_atomically(Path(path), write)


def _plain(value: Any) -> Any:
    """What JSON has, for what Python, NumPy and PyTorch have."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=str)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if hasattr(value, "tolist"):  # NumPy arrays and numbers, tensors
        return _plain(value.tolist())
    return str(value)


def _encode(value: Any, indent: int | None = None) -> bytes:
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can write
        return json.dumps(value, indent=indent, allow_nan=False).encode("ascii")


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Lets `write` fill a file that takes the place of `path` when it is complete."""
    # In the same folder: a rename across file systems is not atomic.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
