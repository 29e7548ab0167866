"""The best settings beside the recipe's own, trained again with fresh seeds and tested once."""

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.record.run_file import RUN_FILE, load_run
from lowcost_ft.record.run_folder import CHECKPOINTS
from lowcost_ft.tuning.apart import DiedError, apart

__all__ = ["confirm"]


def confirm(
    main: Callable[[RunConfig], Any],
    settings: dict[str, RunConfig],
    *,
    seeds: Sequence[int],
    folder: Path,
    say: Callable[[str], None],
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Trains settings with seeds that the search did not use, and scores each run once.

    Runs that are complete stay, so that it can be called again after a kill.

    Args:
        main: The recipe.
        settings: Its settings by name: "default", and "best" where that is another.
        seeds: The fresh seeds.
        folder: Where runs go.
        say: Tells how it goes on.
        names: What folders of settings are called where that is not their name: a search that goes
            on may find another best, whose runs are others.

    Returns:
        For each name `scores` (of the test split, or of validation where there is none), their
        `mean`, `seconds` and `runs`; `split`, `metric`; and, of two, the mean `difference` of best
        less default over the seeds with its 95% interval.
    """
    found: dict[str, Any] = {"seeds": list(seeds)}
    for name, config in settings.items():
        runs = []
        places = [folder / f"{(names or {}).get(name, name)}-seed{seed}" for seed in seeds]
        for seed, place in zip(seeds, places, strict=True):
            record = _complete(place)
            if record is None:
                started = time.monotonic()
                try:
                    apart(partial(_run, main, config, seed, place))
                except DiedError as error:
                    raise UserError(
                        f"the final run {place}: {error}; mend that, and go on with --resume"
                    ) from None
                record = load_run(place)
                say(
                    f"{name}, seed {seed}: {record['metric']} {_score(record)[1]:.4f} "
                    f"({(time.monotonic() - started) / 60:.1f} min)"
                )
            runs.append(record)
        scores = [_score(record)[1] for record in runs]
        found[name] = {
            "scores": scores,
            "mean": statistics.mean(scores),
            "seconds": sum(float(record["train"]["seconds"]) for record in runs),
            "runs": [str(place) for place in places],
        }
        found |= {"split": _score(runs[0])[0], "metric": runs[0]["metric"]}
    if "best" in found and "default" in found:
        pairs = zip(found["best"]["scores"], found["default"]["scores"], strict=True)
        found["difference"] = _interval([best - own for best, own in pairs])
    return found


def _complete(place: Path) -> dict[str, Any] | None:
    if not (place / RUN_FILE).exists():
        return None
    record = load_run(place, completed=False)
    return record if record["status"] == "completed" else None


def _run(main: Callable[[RunConfig], Any], config: RunConfig, seed: int, place: Path) -> None:
    begun = (place / RUN_FILE).exists() or (place / CHECKPOINTS).is_dir()
    place.parent.mkdir(parents=True, exist_ok=True)
    log = place.with_name(f"{place.name}.log")
    with (
        log.open("a", encoding="utf-8", errors="replace") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        main(replace(config, seed=seed, output_dir=str(place), resume=begun, overwrite=False))


def _score(record: dict[str, Any]) -> tuple[str, float]:
    split = "test" if "test" in record["evaluation"] else "validation"
    return split, float(record["evaluation"][split][record["metric"]])


def _interval(differences: Sequence[float]) -> dict[str, Any]:
    """The mean difference and its interval over seeds, by Student's t; None with one seed."""
    count = len(differences)
    mean = statistics.mean(differences)
    if count < 2:
        return {"mean": mean, "ci95": None}
    from scipy.stats import t

    half = float(t.ppf(0.975, count - 1)) * statistics.stdev(differences) / math.sqrt(count)
    return {"mean": mean, "ci95": [mean - half, mean + half]}
