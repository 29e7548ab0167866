"""The runs that label `--unlabelled-file`: trained first, with the settings of the run itself."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lowcost_ft.config.reading import reading_of
from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.labelling import TOO_FEW_ROWS, check_labels
from lowcost_ft.pipeline.run_input import check_pairs
from lowcost_ft.pipeline.run_splits import load_run_splits, without_test_rows
from lowcost_ft.pipeline.start import processes_stay
from lowcost_ft.pipeline.unlabelled import new_texts
from lowcost_ft.record.changed_settings import changed_settings
from lowcost_ft.record.run_file import RUN_FILE, load_run
from lowcost_ft.record.run_folder import CHECKPOINTS, check_free
from lowcost_ft.scores.pseudo_labels import LEAST_ROWS
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.inputs import read_examples_file

__all__ = ["with_pseudo_labels"]

HELD_OUT_RUNS = 3
"""Further runs on whose held-out rows the threshold is chosen, if all rows train."""
HELD_OUT_SHARE = 0.2
"""Share of the rows that each of them holds out."""


def with_pseudo_labels(config: RunConfig, train: Callable[[RunConfig], Path]) -> RunConfig:
    """Trains a run that labels the texts without labels, unless it is complete already.

    It has the same settings, rows and seed, and a folder beside the run's own. If there are no
    validation rows, three more runs hold out a fifth of the rows each, drawn by further seeds.

    Args:
        config: The settings. Without `--unlabelled-file`, or beside `--teacher` or
            `--labelled-by`, they are returned as they are.
        train: Runs the recipe; returns the run folder.

    Returns:
        The settings, with these runs as `--labelled-by`.

    Raises:
        UserError: The run's folder holds a run already, the file cannot be read or holds no other
            texts than the splits, the task's answers cannot be labels, there are too few validation
            rows, or the folder beside the run's own holds a run of other settings.
    """
    if config.unlabelled_file is None or config.teacher or config.labelled_by:
        return config
    if config.resume and config.output_dir is None:
        raise UserError(
            "--resume beside --unlabelled-file: name the run's folder with --output-dir, beside "
            "which the run lies that labels the texts"
        )
    if os.environ.get("RANK", "0") == "0":  # Others may look when the run has begun already.
        check_free(config.output_dir, overwrite=config.overwrite, resume=config.resume)
    # Everything is read once before minutes of training, to find problems early.
    splits = load_run_splits(config.to_dict())
    kind, file = task_class(config.task), config.unlabelled_file
    given = read_examples_file(config.task, file, usual=reading_of(config), labelled=False)
    check_labels(kind.from_splits(config, splits, causal=False))
    pairs = getattr(splits.train[0], "text_pair", None) is not None
    check_pairs({"data": {"pairs": pairs}}, given)
    new_texts(kind, [one for one in given if not kind.is_blank(one)], splits, file=file)
    if 0 < len(splits.validation or ()) < LEAST_ROWS:
        raise UserError(TOO_FEW_ROWS)
    plain = replace(config, unlabelled_file=None, pseudo_label_score=None)
    with processes_stay():
        folders = [_first_run(plain, train, "labeller")]
        if not splits.validation:
            with without_test_rows():
                folders += [
                    _first_run(
                        replace(
                            plain,
                            validation_share=HELD_OUT_SHARE,
                            seed=config.seed + number,
                            test_file=None,
                        ),
                        train,
                        f"labeller-held-out-{number}",
                    )
                    for number in range(1, HELD_OUT_RUNS + 1)
                ]
    return replace(config, labelled_by=",".join(map(str, folders)))


def _first_run(config: RunConfig, train: Callable[[RunConfig], Path], what: str) -> Path:
    """Trains a run unless it is complete; returns its folder.

    Raises:
        UserError: The run is complete, with other settings.
    """
    if config.output_dir is None:
        return train(config)
    folder = Path(f"{config.output_dir}-{what}")
    config = replace(config, output_dir=str(folder))
    if not config.overwrite and (folder / RUN_FILE).exists():
        record = load_run(folder, completed=False)
        if record["status"] == "completed":
            if changed := changed_settings(record, config):
                raise UserError(
                    [
                        f"--{name.replace('_', '-')} was {before!r} in {folder}, which labels the "
                        f"texts, and is now {now!r}: train it again with --overwrite, or name "
                        f"another --output-dir, or take it as it is with --labelled-by {folder}"
                        for name, before, now in changed
                    ]
                )
            return folder
    begun = (folder / CHECKPOINTS).is_dir()
    return train(replace(config, resume=config.resume and begun))
