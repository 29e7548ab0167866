"""A tuning run: trials until all are halved or time is up, then the best beside the default."""

import contextlib
import fcntl
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.setting import deciding
from lowcost_ft.config.settings import DataConfig
from lowcost_ft.errors import UserError
from lowcost_ft.record.run_folder import remove_checkpoints
from lowcost_ft.tuning.apart import DiedError, apart
from lowcost_ft.tuning.memory import spare_memory
from lowcost_ft.tuning.schedule import Step, bracket_size, next_step, rungs_of
from lowcost_ft.tuning.space import Space, default_params, default_space, settled
from lowcost_ft.tuning.study import STUDY_FILE, Study
from lowcost_ft.tuning.trials import Outcome, data_of, run_trial, settle_search

__all__ = ["Search", "claimed", "search"]

_MOST_REFUSED = 5
"""For each trial that is to be tried, at most so many are asked for."""
_UNKNOWN = "could not be predicted"


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a search found.

    Attributes:
        base: The recipe's settings, with the full length.
        best: The number of the best trial; None where none was scored.
        trials: All trials, as JSON has them.
        rungs: Epochs at which trials paused.
        facts: What was settled at its beginning.
        importances: Share of the spread of scores that each setting explains.
        seconds: What the trials took.
        stopped: Why it ended early; empty where it did not.
        folder: Where it is.
    """

    base: RunConfig
    best: int | None
    trials: list[dict[str, Any]]
    rungs: tuple[int, ...]
    facts: dict[str, Any]
    importances: dict[str, float]
    seconds: float
    stopped: str
    folder: Path

    def trial_folder(self, number: int) -> Path:
        """The folder of a trial."""
        return _place(self.folder, number)

    def config(self, number: int) -> RunConfig:
        """The settings of a trial."""
        return settled(self.base, self.trials[number]["params"])


@contextlib.contextmanager
def claimed(folder: Path, *, resume: bool) -> Iterator[None]:
    """Holds the folder of a search; refuses one that another search holds, or that is not new.

    Raises:
        UserError: Says why it cannot be used.
    """
    known = (folder / STUDY_FILE).exists()
    if folder.is_file():
        raise UserError(f"--output-dir {folder} is a file: name a folder")
    if known and not resume:
        raise UserError(
            f"--output-dir {folder} holds a search already: go on with --resume, or name another "
            "folder"
        )
    if not known and folder.exists() and any(p.name != ".lock" for p in folder.iterdir()):
        raise UserError(f"--output-dir {folder} holds other files: name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"--output-dir {folder} is in use: a search goes on there") from None
        yield


def search(
    base: RunConfig,
    *,
    folder: Path,
    trials: int,
    hours: float | None = None,
    space: Space | None = None,
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
) -> Search:
    """Tries settings, or goes on doing so.

    Trials never see test data. Each is trained for a part of the full schedule and paused; the best
    go on. Killed at any moment, it goes on with the same trials and finds the same.

    Args:
        base: The recipe's settings.
        folder: Where everything is kept, claimed by the caller.
        trials: How many settings are tried; those that do not fit into memory do not count.
        hours: Time that trials may take together; the one that trains then pauses.
        space: What is tried; None chooses.
        say: Tells how it goes on.

    Raises:
        UserError: The recipe's own settings cannot be used, or the folder is of another search.
    """
    space = default_space(base) if space is None else space
    asked = {name: getattr(base, name) for name in deciding(base)}
    read = [field.name for field in fields(DataConfig)]
    asked |= {name: getattr(base, name) for name in (*read, "memory_budget")}
    study = Study(folder, {**asked, "space": dict(space), "trials": trials})
    facts = study.kept("facts")
    look, log = folder / "trials" / "look", folder / "trials" / "look.txt"
    shutil.rmtree(look, ignore_errors=True)
    look.mkdir(parents=True)
    if facts is None:
        facts = study.note("facts", apart(lambda: settle_search(base, look, log)))
    elif facts.get("data") not in (None, apart(lambda: data_of(base, look, log))):
        raise UserError(
            "the files have changed since the search began, and scores of trials on other data do "
            f"not compare: name another folder than {folder}"
        )
    own = default_params(base, space, facts["learning_rate"])
    # As long for every batch size: halving compares trials after the same passes over the data.
    base = replace(
        base,
        num_train_epochs=facts["num_train_epochs"] if base.max_steps is None else "auto",
        validate_every_epochs=facts["validate_every_epochs"],
    )
    budget = base.memory_budget or study.note("memory_budget", f"{apart(spare_memory)}B")
    rungs = rungs_of(facts["num_train_epochs"], facts["validate_every_epochs"])
    if study.new:
        say(
            f"search: {trials} trials of {', '.join(space)}; pauses after epochs "
            f"{', '.join(map(str, rungs))}, {bracket_size(rungs)} trials a bracket"
        )
    stopped, began = "", time.monotonic()
    allowed = None if hours is None else max(0.0, 3600 * hours - study.seconds)
    deadline = None if allowed is None else began + allowed
    while True:
        entries = study.entries()
        step = next_step(entries, rungs, trials)
        if step.kind == "done":
            break
        if step.kind == "ask":
            if len(entries) >= _MOST_REFUSED * trials:
                stopped = f"too many trials could not be started ({_last_refusal(study)})"
                break
            study.ask(space, seed=base.seed, first=own)
        elif step.kind in ("prune", "complete"):
            state = "pruned" if step.kind == "prune" else "complete"
            study.end(step.number, state)
            remove_checkpoints(_place(folder, step.number))
        elif deadline is not None and time.monotonic() > deadline:
            stopped = f"the {hours:g} hours are over"
            break
        else:
            outcome = _train(study, base, step, folder, budget, deadline)
            study.add_seconds(outcome.seconds)
            _keep(study, step, outcome, rungs, folder)
            say(_told(study, step, outcome, rungs, trials, facts["metric"]))
    if stopped:
        say(f"search: {stopped}: the best so far counts")
    entries = study.entries()
    reached = [e for e in entries if e.scores and e.state != "failed"]
    # Of those that trained longest: a score after fewer epochs is another thing.
    best = max(
        reached, key=lambda e: (max(e.scores), e.scores[max(e.scores)], -e.number), default=None
    )
    return Search(
        base=base,
        best=None if best is None else best.number,
        trials=study.trials(),
        rungs=rungs,
        facts=facts,
        importances=study.importances(),
        seconds=study.seconds,
        stopped=stopped,
        folder=folder,
    )


def _last_refusal(study: Study) -> str:
    return next((t["refused"] for t in reversed(study.trials()) if t.get("refused")), "no reason")


def _place(folder: Path, number: int) -> Path:
    return folder / "trials" / f"{number:03d}"


def _train(
    study: Study, base: RunConfig, step: Step, folder: Path, budget: str, deadline: float | None
) -> Outcome:
    """Trains a trial that fits the memory; one that does not is refused before it starts."""
    try:
        config = settled(base, study.params(step.number))
    except UserError as error:
        return Outcome(scores={}, refused="; ".join(error.problems))
    place = _place(folder, step.number)
    bounded = config
    if config.gradient_accumulation_steps is None and not config.torch_compile:
        bounded = replace(config, memory_budget=budget)
    outcome = _run_apart(bounded, step.epoch, place, deadline)
    if outcome.refused and _UNKNOWN in outcome.refused and base.memory_budget is None:
        shutil.rmtree(place)
        outcome = _run_apart(config, step.epoch, place, deadline)
    return outcome


def _run_apart(config: RunConfig, epoch: int, place: Path, deadline: float | None) -> Outcome:
    """A trial in a process of its own, so that none takes memory from the next."""
    began = time.monotonic()
    try:
        told = apart(
            lambda: asdict(run_trial(config, epoch=epoch, folder=place, deadline=deadline))
        )
    except DiedError as error:
        return Outcome(scores={}, failed=str(error), seconds=time.monotonic() - began)
    scores = {int(number): score for number, score in told.pop("scores").items()}
    return Outcome(scores=scores, **told)


def _keep(study: Study, step: Step, outcome: Outcome, rungs: Sequence[int], folder: Path) -> None:
    """Puts on record what a trial has reached, and ends it where it will not go on."""
    facts: dict[str, Any] = {"seconds": outcome.seconds + _seconds_before(study, step.number)}
    if outcome.needed_bytes is not None:
        facts["needed_bytes"] = outcome.needed_bytes
    if outcome.refused or outcome.failed:
        kind = "refused" if outcome.refused else "failed"
        study.end(step.number, kind, **facts, **{kind: outcome.refused or outcome.failed})
        shutil.rmtree(_place(folder, step.number), ignore_errors=True)
        return
    epochs = sorted(outcome.scores)
    reached = {
        rung: outcome.scores[max(epoch for epoch in epochs if epoch <= rung)]
        for rung in rungs
        if any(epoch <= rung for epoch in epochs) and (outcome.ended or rung <= epochs[-1])
    }
    study.report(step.number, reached, **facts, epochs=epochs[-1] if epochs else 0)


def _seconds_before(study: Study, number: int) -> float:
    return float(study.trials()[number].get("seconds", 0.0))


def _told(
    study: Study, step: Step, outcome: Outcome, rungs: Sequence[int], trials: int, metric: str
) -> str:
    entries = study.entries()
    begun = sum(entry.state != "refused" for entry in entries)
    head = f"trial {step.number} ({begun} of {trials})"
    if outcome.refused:
        return f"{head}: not started: {outcome.refused}"
    if outcome.failed:
        return f"{head}: failed: {outcome.failed}"
    if not outcome.scores:
        return f"{head}: paused before its first score"
    last = max(outcome.scores)
    best = max((max(e.scores.values()) for e in entries if e.scores), default=0.0)
    return (
        f"{head}: epoch {last} of {rungs[-1]}, {metric} {outcome.scores[last]:.4f} (best so far "
        f"{best:.4f}); {study.seconds / 60:.1f} min"
    )
