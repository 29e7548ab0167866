"""Chooses settings by cross-validation within the training rows, which then all train."""

import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from tqdm.auto import tqdm

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.filling import from_main
from lowcost_ft.pipeline.run_splits import load_run_splits, without_test_rows
from lowcost_ft.pipeline.start import processes_stay
from lowcost_ft.record.changed_settings import changed_settings
from lowcost_ft.record.run_file import load_run, write_json
from lowcost_ft.record.run_folder import check_free
from lowcost_ft.screen import wrapped

__all__ = ["with_cross_validation"]

FOLDS = 3
"""Runs of each candidate, which hold out other rows."""
HELD_OUT_SHARE = 0.25
"""Share of the rows that each of them holds out."""
MOST_ROWS = 500
"""Rows up to which settings are chosen: with more of them, a validation split costs little."""
CHOICE_FILE = "choice.json"
_NEVER = 10**9
"""Epochs between scores of a run that is scored at its end alone, as the run itself is."""


def with_cross_validation(
    config: RunConfig,
    train: Callable[[RunConfig], Path],
    candidates: Sequence[Mapping[str, Any]],
) -> RunConfig:
    """Chooses the candidate settings that score best on rows held out of training.

    Each candidate is trained three times, without a quarter of the training rows that the seed and
    the number of the training decide, and scored on that quarter after its last step. Of equal
    means the earlier candidate is taken. If there are validation rows, each candidate is trained
    once and scored on them. Test rows are not touched. Results are kept in `choice.json`, in a
    folder beside the run's own, so that a choice that was stopped continues.

    Args:
        config: The settings. What the user gave is not chosen: candidates lose the parts that would
            change it.
        train: Runs the recipe; returns the run folder.
        candidates: Settings to try, by name; the first is taken for more than `MOST_ROWS` rows.

    Returns:
        The settings with the best candidate. One that the model or the task refuses is left out,
        with the reason. If no rows can be held out, as with one row a class, the first is taken.

    Raises:
        UserError: The data cannot be read, or the run's folder holds a run, and nothing has been
            trained; or all are refused.
    """
    tried = _open_candidates(config, candidates)
    if len(tried) < 2:
        return replace(config, **tried[0])
    if _is_main():  # Others may look when the run has begun already.
        check_free(config.output_dir, overwrite=config.overwrite, resume=config.resume)
    splits = load_run_splits(config.to_dict())
    if len(splits.train) > MOST_ROWS:
        _say(
            f"note: {len(splits.train):,} training rows are more than {MOST_ROWS}: no settings are "
            f"chosen by cross-validation, and the run takes {_named(tried[0])}"
        )
        return replace(config, **tried[0])
    plain = replace(config, test_file=None, unlabelled_file=None, resume=False, overwrite=True)
    plain = replace(plain, pseudo_label_score=None, labelled_by=None, validate_every_epochs=_NEVER)
    if splits.validation:
        folds = [plain]
    else:
        folds = [
            replace(plain, validation_share=HELD_OUT_SHARE, seed=config.seed + number)
            for number in range(1, FOLDS + 1)
        ]
    try:
        load_run_splits(folds[0].to_dict())
    except UserError as error:
        _say(f"note: {error}. Nothing is chosen then, and the run takes {_named(tried[0])}")
        return replace(config, **tried[0])
    with _folder(config) as folder, processes_stay():
        known = _known(folder, config, splits.fingerprint, len(folds))
        refused: dict[str, UserError] = {}
        bar = tqdm(
            total=len(tried) * len(folds), desc="choosing", unit="run", file=sys.stderr,
            disable=None if _is_main() else True,
        )  # fmt: skip
        with bar:
            for candidate in tried:
                scores = known["scores"].setdefault(_named(candidate), [])
                for fold in folds[len(scores) :]:
                    place = folder / "run"
                    try:
                        one = replace(fold, **candidate, output_dir=str(place))
                        with (
                            _log(folder) as log,
                            contextlib.redirect_stdout(log),
                            without_test_rows(),
                        ):
                            train(one)
                    except UserError as error:
                        refused[_named(candidate)] = error
                        break
                    # Other processes may be done before the first one has written the file.
                    metric, score = from_main(_score(place) if _is_main() else None)
                    scores.append(score)
                    known["metric"] = metric
                    if _is_main():
                        shutil.rmtree(place)
                        write_json(folder / CHOICE_FILE, known)
                    bar.update()
    left = [candidate for candidate in tried if _named(candidate) not in refused]
    if not left:
        raise refused[_named(tried[0])]
    for name, reason in refused.items():
        _say(f"note: {name} is left out: {reason}")
    return replace(config, **_best(left, known, held_out=not splits.validation))


def _open_candidates(
    config: RunConfig, candidates: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The candidates without the parts that the user gave, each once."""
    found: list[dict[str, Any]] = []
    for candidate in candidates:
        left = {name: value for name, value in candidate.items() if getattr(config, name) is None}
        if left not in found:
            found.append(left)
    return found


@contextlib.contextmanager
def _folder(config: RunConfig) -> Iterator[Path]:
    """The folder of the choice, beside the run; None if the run has no name yet."""
    if config.output_dir is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    folder = Path(f"{config.output_dir}-choice")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder


def _known(folder: Path, config: RunConfig, fingerprint: str, folds: int) -> dict[str, Any]:
    """Earlier results for the same settings and rows."""
    asked: dict[str, Any] = {
        "config": config.to_dict() | config.settled,
        "data": fingerprint,
        "folds": folds,
    }
    file = folder / CHOICE_FILE
    if file.is_file() and not config.overwrite:
        known: dict[str, Any] = json.loads(file.read_text("utf-8"))
        same = not changed_settings(known, config)
        if same and (known["data"], known["folds"]) == (fingerprint, folds):
            return known
    return asked | {"scores": {}}


def _log(folder: Path) -> IO[str]:
    """The file that the candidates' trainings print to."""
    return open(folder / "log.txt" if _is_main() else os.devnull, "a", encoding="utf-8")


def _score(place: Path) -> tuple[str, float]:
    """The main metric of a run, and its validation score."""
    record = load_run(place)
    return record["metric"], float(record["evaluation"]["validation"][record["metric"]])


def _best(
    tried: Sequence[dict[str, Any]], known: Mapping[str, Any], *, held_out: bool
) -> dict[str, Any]:
    means = [statistics.mean(known["scores"][_named(candidate)]) for candidate in tried]
    rows = "rows held out of training" if held_out else "validation rows"
    for candidate, mean in zip(tried, means, strict=True):
        each = ", ".join(f"{score:.3f}" for score in known["scores"][_named(candidate)])
        _say(f"choice: {_named(candidate)}: {known['metric']} {mean:.4f} on {rows} ({each})")
    chosen = tried[means.index(max(means))]
    _say(f"choice: the run takes {_named(chosen)}")
    return chosen


def _named(candidate: Mapping[str, Any]) -> str:
    """A candidate as a user would type it."""
    words = [f"--{name.replace('_', '-')} {value}" for name, value in candidate.items()]
    return " ".join(words) or "the settings as they are"


def _say(text: str) -> None:
    if _is_main():
        print(wrapped(text, sys.stdout), flush=True)


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"
