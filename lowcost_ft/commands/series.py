"""A recipe with several seeds: one run a seed, each in a folder of its own, and their report."""

import gc
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.values import split_seeds
from lowcost_ft.data.rows import counted
from lowcost_ft.errors import UserError
from lowcost_ft.record.changed_settings import changed_settings
from lowcost_ft.record.run_file import RUN_FILE, load_run
from lowcost_ft.record.run_folder import CHECKPOINTS
from lowcost_ft.screen import say, wrapped

__all__ = ["run_series"]


@dataclass(frozen=True, kw_only=True)
class _Series:
    """Where the runs of a series go, and how far they are.

    Attributes:
        folder: Holds a folder for each seed.
        complete: Seeds whose runs are complete.
        begun: Seeds whose runs were stopped.
    """

    folder: Path
    complete: tuple[int, ...] = ()
    begun: tuple[int, ...] = ()


def run_series(main: Callable[[RunConfig], Any], config: RunConfig) -> Path:
    """Runs a recipe once a seed, one after the other, and writes a report about the runs.

    With `config.resume`, runs that are complete stay, the one that was stopped goes on, and the
    others follow. A run is the same as with `--seed` alone.

    Args:
        main: The recipe.
        config: Its settings, with `seeds`.

    Returns:
        The folder that holds the runs.

    Raises:
        UserError: The folder holds other runs; nothing has been trained then.
    """
    from lowcost_ft.pipeline.start import processes_stay

    assert config.seeds is not None
    seeds = split_seeds(config.seeds)
    series = _from_main(config, lambda: _look(config, seeds))
    left = [seed for seed in seeds if seed not in series.complete]
    try:
        for number, seed in enumerate(seeds, 1):
            title = f"seed {seed} ({number} of {len(seeds)})"
            place = _place(series.folder, seed)
            if seed in series.complete:
                _say(f"{title}: complete, in {place}")
                continue
            _say(f"{title}: {'goes on' if seed in series.begun else 'begins'}, in {place}")
            one = replace(
                config,
                seeds=None,
                seed=seed,
                output_dir=str(place),
                resume=seed in series.begun,
            )
            with (
                _saying_how_to_go_on(place, title, after=len(left) - left.index(seed) - 1),
                processes_stay() if seed != left[-1] else nullcontext(),
            ):
                main(one)
            gc.collect()  # A model is held in circles, and two need not fit.
    finally:
        with suppress(OSError):
            series.folder.rmdir()  # Only where nothing was written.
    if os.environ.get("RANK", "0") == "0":
        _report(series.folder, seeds)
    return series.folder


def _place(folder: Path, seed: int) -> Path:
    return folder / f"seed-{seed}"


def _say(text: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(wrapped(text, sys.stdout), flush=True)


@contextmanager
def _saying_how_to_go_on(place: Path, title: str, *, after: int) -> Iterator[None]:
    """Where a run ends early that had begun, says what becomes of it and of those after it."""
    try:
        yield
    except BaseException:
        if (place / RUN_FILE).exists() and os.environ.get("RANK", "0") == "0":
            more = (
                f", and {after} more {'has' if after == 1 else 'have'} not begun" if after else ""
            )
            say(f"{title} did not finish{more}: the same command goes on with --resume")
        raise


def _from_main(config: RunConfig, look: Callable[[], _Series]) -> _Series:
    """What the main process finds, in every process of a launch: they must do the same."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return look()
    from accelerate.utils import broadcast_object_list

    from lowcost_ft.training.setup import build_accelerator

    try:
        accelerator = build_accelerator(mixed_precision=config.mixed_precision)
    except ValueError as error:
        raise UserError(str(error)) from error
    found: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            found = [look()]
        except UserError as error:
            found = [error]
    broadcast_object_list(found)
    if isinstance(found[0], UserError):
        raise found[0]
    series: _Series = found[0]
    return series


def _look(config: RunConfig, seeds: Sequence[int]) -> _Series:
    """Where the series goes on, or begins.

    Raises:
        UserError: See `run_series`.
    """
    if config.output_dir is None:
        return _default_place(config, seeds)
    folder = Path(config.output_dir)
    if folder.is_file():
        raise UserError(f"--output-dir {folder} is a file: name a folder")
    if (folder / RUN_FILE).exists() or (folder / CHECKPOINTS).exists():
        raise UserError(
            f"--output-dir {folder} holds a run of its own: with --seeds name a folder for several"
        )
    series = _states(folder, seeds)
    if not config.resume and not config.overwrite and (series.complete or series.begun):
        found = ", ".join(str(_place(folder, s)) for s in (*series.complete, *series.begun))
        raise UserError(
            f"--output-dir {folder} holds runs already ({found}): go on with --resume, replace "
            "them with --overwrite, or name another folder"
        )
    if config.overwrite:
        return _Series(folder=folder)
    problems = [
        problem for seed in series.complete for problem in _other_settings(folder, seed, config)
    ]
    if problems:
        raise UserError(problems)
    return series


def _states(folder: Path, seeds: Sequence[int]) -> _Series:
    complete: list[int] = []
    begun: list[int] = []
    for seed in seeds:
        place = _place(folder, seed)
        if (place / RUN_FILE).exists():
            done = load_run(place, completed=False)["status"] == "completed"
            (complete if done else begun).append(seed)
        elif (place / CHECKPOINTS).is_dir():
            begun.append(seed)
    return _Series(folder=folder, complete=tuple(complete), begun=tuple(begun))


def _default_place(config: RunConfig, seeds: Sequence[int]) -> _Series:
    """The newest unfinished series of this recipe, with `--resume`; else the first free name."""
    name, parent = f"{config.task}-{config.method}-seeds", Path("runs")
    number = 1
    newest = None
    while (folder := parent / (name if number == 1 else f"{name}-{number}")).exists():
        series = _states(folder, seeds)
        if len(series.complete) < len(seeds) and not any(
            _other_settings(folder, seed, config) for seed in series.complete
        ):
            newest = series
        number += 1
    if config.resume and newest is not None:
        return newest
    if config.resume and number > 1:
        raise UserError(
            f"no series of these settings in {parent} is unfinished: leave --resume out, or name "
            "its folder with --output-dir"
        )
    try:
        folder.mkdir(parents=True)
    except FileExistsError:  # Another series has just begun there.
        return _default_place(config, seeds)
    return _Series(folder=folder)


def _other_settings(folder: Path, seed: int, config: RunConfig) -> list[str]:
    """Settings with which a complete run of the series was trained, and which are others now."""
    place = _place(folder, seed)
    record = load_run(place, completed=False)
    return [
        f"--{name.replace('_', '-')} was {before!r} in {place} and is now {now!r}: the runs of a "
        "series differ in their seeds alone"
        for name, before, now in changed_settings(record, config, ignored=("seed",))
    ]


def _report(folder: Path, seeds: Sequence[int]) -> None:
    """Writes the report and says what the scores are."""
    from lowcost_ft.report.writing import write_report

    drawn = all(find_spec(name) is not None for name in ("jinja2", "matplotlib"))
    file = folder / f"report.{'html' if drawn else 'md'}"
    write_report([str(_place(folder, seed)) for seed in seeds], file)
    runs = [load_run(_place(folder, seed)) for seed in seeds]
    metric = runs[0]["metric"]
    split = "test" if "test" in runs[0]["evaluation"] else "validation"
    scores = [float(run["evaluation"][split][metric]) for run in runs]
    each = ", ".join(f"{score:.4f}" for score in scores)
    spread = f", standard deviation {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
    mean = f"{split} {metric} {statistics.mean(scores):.4f}"
    if len({run["data"].get("fingerprint") for run in runs}) > 1:
        spread += "; the files changed in between, so that these scores are of different data"
    told = f"{counted(len(seeds), 'seed')}: {mean} ({each}){spread}"
    _say(f"\n{told}\nreport in {file}")
