"""One trial of a tuning run: trained up to an epoch of the full schedule, and paused there."""

import contextlib
import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError, is_out_of_memory
from lowcost_ft.pipeline.build import build
from lowcost_ft.pipeline.data import Data, load_data
from lowcost_ft.pipeline.start import Run, start_run
from lowcost_ft.pipeline.train import train
from lowcost_ft.record.run_file import RUN_FILE, write_atomically
from lowcost_ft.record.run_folder import CHECKPOINTS
from lowcost_ft.tasks.base import Predictions

__all__ = ["TALLY_FILE", "Outcome", "data_of", "for_search", "run_trial", "settle_search"]

TALLY_FILE = "validation.npy"
"""What the validation score of a trial's best epoch is a sum of: see `Task.tally`."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a trial.

    Attributes:
        scores: Best validation score up to each scored epoch.
        ended: Whether it trained to the end, or stopped early.
        seconds: Time that it took now, loading included.
        needed_bytes: Predicted memory of a step; None where it is not known.
        refused: Why it was not started: it does not fit, or its settings contradict one another.
        failed: Why it ended without a score.
    """

    scores: dict[int, float]
    ended: bool = False
    seconds: float = 0.0
    needed_bytes: int | None = None
    refused: str | None = None
    failed: str | None = None


def for_search(config: RunConfig, folder: Path) -> RunConfig:
    """The settings of a run that only chooses: without test data, in a folder of its own."""
    begun = (folder / CHECKPOINTS).is_dir() or (folder / RUN_FILE).exists()
    return replace(
        config,
        test_file=None,
        seeds=None,
        report_to=None,
        overwrite=False,
        resume=begun,
        output_dir=str(folder),
    )


def settle_search(config: RunConfig, folder: Path, log: Path) -> dict[str, Any]:
    """Looks at the data once: how long trials are, and what the recipe's own settings come to.

    Args:
        config: The recipe's settings.
        folder: A folder that is empty afterwards.
        log: Where the run's own words go.

    Returns:
        `num_train_epochs`, `validate_every_epochs`, `learning_rate`, `metric` and `data`.

    Raises:
        UserError: Data, model or settings cannot be used.
    """
    with _told_to(log), start_run(for_search(config, folder)) as run:
        data = load_data(run, with_test=False)
        built = build(run, data)
        found = {
            "num_train_epochs": built.settings.num_train_epochs,
            "validate_every_epochs": built.settings.validate_every_epochs,
            "learning_rate": built.learning_rate,
            "metric": data.task.metric,
            "needed_bytes": built.plan and built.plan.prediction.needed_bytes,
            "rows": run.record["data"]["rows"],
            "data": data.splits.fingerprint,
        }
    (folder / RUN_FILE).unlink(missing_ok=True)
    gc.collect()
    return found


def data_of(config: RunConfig, folder: Path, log: Path) -> str:
    """The fingerprint of the data that trials train on, for a search that goes on.

    Args:
        config: The recipe's settings.
        folder: A folder that is empty afterwards.
        log: Where the run's own words go.

    Raises:
        UserError: The data cannot be used.
    """
    with _told_to(log), start_run(for_search(config, folder)) as run:
        found = load_data(run, with_test=False).splits.fingerprint
    (folder / RUN_FILE).unlink(missing_ok=True)
    return found


def run_trial(
    config: RunConfig, *, epoch: int, folder: Path, deadline: float | None = None
) -> Outcome:
    """Trains a trial until an epoch has been scored, from its checkpoint where it has one.

    The learning rate follows the schedule of the full length. A trial that was paused, killed or
    both has the same weights, bit for bit, as one that was not.

    Args:
        config: Its settings, with the full length.
        epoch: Where it pauses.
        folder: Its folder.
        deadline: On the clock of `time.monotonic`: where it pauses at the latest.
    """
    started = time.monotonic()
    found: dict[str, Any] = {"needed": None}
    try:
        scores, ended = _trained(config, epoch, folder, deadline, found)
        outcome = Outcome(scores=scores, ended=ended)
    except UserError as error:
        why = "; ".join(error.problems)
        begun = bool(found.get("training"))
        outcome = Outcome(scores={}, failed=why if begun else None, refused=None if begun else why)
    except Exception as error:
        kind = "out of memory" if is_out_of_memory(error) else type(error).__name__
        outcome = Outcome(scores={}, failed=f"{kind}: {str(error)[:300]}")
    gc.collect()
    return replace(
        outcome, seconds=time.monotonic() - started, needed_bytes=found.get("needed_bytes")
    )


def _trained(
    config: RunConfig, epoch: int, folder: Path, deadline: float | None, found: dict[str, Any]
) -> tuple[dict[int, float], bool]:
    folder.mkdir(parents=True, exist_ok=True)

    def pause(scored: int) -> bool:
        return scored >= epoch or (deadline is not None and time.monotonic() > deadline)

    with _told_to(folder / "log.txt"), start_run(for_search(config, folder)) as run:
        data = load_data(run, with_test=False)
        built = build(run, data)
        found["needed_bytes"] = built.plan and built.plan.prediction.needed_bytes
        found["training"] = True
        keep = _KeepTally(run, data)
        trained = train(run, built, data, pause=pause, on_scores=keep)
        metric, best = data.task.metric, -np.inf
        scores = {}
        for entry in trained.result.validation_history:
            best = max(best, entry[metric])
            scores[round(entry["epoch"])] = float(best)
        return scores, not trained.result.paused


class _KeepTally:
    """Keeps what the best validation score so far is a sum of, in the trial's folder."""

    def __init__(self, run: Run, data: Data) -> None:
        self.file, self.data = run.folder / TALLY_FILE, data

    def __call__(self, scores: dict[str, Any], predictions: Predictions) -> None:
        task = self.data.task
        tally = task.tally(self.data.splits.validation, predictions)
        if tally is None:
            return
        score = float(scores[task.metric])
        noted = self.file.with_suffix(".score")
        if noted.exists() and float(noted.read_text("utf-8")) >= score:
            return
        write_atomically(self.file, lambda out: np.save(out, tally, allow_pickle=False))
        write_atomically(noted, lambda out: out.write(repr(score).encode()))


@contextlib.contextmanager
def _told_to(log: Path) -> Iterator[None]:
    """Lets a run say what it has to say in a file: standard output is for the answer."""
    with (
        log.open("a", encoding="utf-8", errors="replace") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        yield
