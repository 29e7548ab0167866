"""What a user reads after stopping a run: what is kept of it, and how to continue."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lowcost_ft.record.run_file import RUN_FILE, status_of
from lowcost_ft.record.run_folder import CHECKPOINTS
from lowcost_ft.training.checkpoint_files import checkpoint_folders

__all__ = ["says_how_to_continue", "stopped_text"]


@contextmanager
def says_how_to_continue(
    record: Mapping[str, Any], folder: Path, say: Callable[[str], None]
) -> Iterator[None]:
    """Tells how to continue if a signal ends the block, whatever the run was doing.

    Args:
        record: The record that becomes `run.json`; it shows how far the run got.
        folder: The run folder.
        say: Prints a text, from one of the processes.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        if status_of(stop) == "interrupted":
            say(stopped_text(record, folder))
        raise


def stopped_text(record: Mapping[str, Any], folder: Path) -> str:
    """What is kept of a run that was stopped before `run.json` was written."""
    train, config = record.get("train"), record["config"]
    with_resume = "Run the same command with --resume"
    if config.get("resume"):
        with_resume = "Run the same command again"
    elif config.get("overwrite"):
        with_resume += " instead of --overwrite"
    steps = (train or {}).get("optimizer_steps") or 0
    newest = max(checkpoint_folders(folder / CHECKPOINTS), default=None)
    if train is None and ((folder / RUN_FILE).exists() or newest is not None):
        text = f"Stopped before training: what was in {folder} is unchanged. "
        return text + "Run the same command again."
    if newest is None:
        return f"Stopped before the first checkpoint. {with_resume} to start over."
    if (train or {}).get("best_epoch") is not None and newest == steps:
        return (
            "Stopped after training, before the run was evaluated and saved. The trained weights "
            f"are in {folder / CHECKPOINTS}. {with_resume} to evaluate and save them."
        )
    return (
        f"Stopped after step {steps:,}. Checkpoints are in {folder / CHECKPOINTS}. {with_resume} "
        f"to continue after step {newest:,}."
    )
