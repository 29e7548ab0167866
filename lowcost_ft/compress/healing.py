"""Healing of a model that was cut: it is distilled from the model as it was before the cut.

The layers that are left have never worked together. They learn to from the run's training rows, and
from texts without labels if there are some, with the uncut model as the teacher: what the
distillation recipes do, whose settings hold here as well.
"""

import contextlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.settings import DataConfig
from lowcost_ft.data.python_rows import Rows
from lowcost_ft.errors import UserError
from lowcost_ft.models.saving import save_model
from lowcost_ft.pipeline.build import build
from lowcost_ft.pipeline.comparing import Drift
from lowcost_ft.pipeline.data import load_data
from lowcost_ft.pipeline.evaluate import evaluate
from lowcost_ft.pipeline.save import save
from lowcost_ft.pipeline.start import start_run
from lowcost_ft.pipeline.train import train
from lowcost_ft.record.run_file import RUN_FILE, load_run, write_run
from lowcost_ft.tasks import task_class

__all__ = ["Healing", "check_healing", "heal_model", "measured", "save_teacher"]

_KEPT = (
    *("pooling", "prompt_template", "chat_template", "label_words", "class_weights", "seed"),
    *("batch_size", "num_train_epochs", "max_steps", "validate_every_epochs"),
)
"""Settings besides those of the data that the student shares with the run."""
_MEASURED = ("calibration", "novelty", "thresholds", "metric", "tag_choice")
"""What the record says of the healed model instead of the run."""


@dataclass(frozen=True, kw_only=True)
class Healing:
    """What a healing came to."""

    metric: str
    score_before: float
    """Score of the cut model, on the split that the drift is measured on."""
    score_after: float
    """Score of the healed model, on the same."""
    rows: int
    """Labelled training rows."""
    unlabelled_texts: int
    epochs: float
    """Epochs that were trained for."""
    seconds: float
    """Time of the training alone."""

    @classmethod
    def of(cls, record: dict[str, Any], *, before: Drift, after: Drift) -> Self:
        """What the record of the training says, and what was measured before and after it."""
        taught = record["train"]["extensions"]["distillation"]
        return cls(
            metric=after.metric,
            score_before=before.score_after,
            score_after=after.score_after,
            rows=record["data"]["rows"]["train"],
            unlabelled_texts=taught["unlabelled_texts"],
            epochs=record["train"]["epochs"],
            seconds=record["train"]["seconds"],
        )


def check_healing(run: dict[str, Any], *, rows: Rows | None, unlabelled_file: str | None) -> None:
    """Refuses what cannot be healed, before anything is measured.

    Args:
        run: The content of `run.json`.
        rows: Training rows that are in Python.
        unlabelled_file: Texts without labels.

    Raises:
        UserError: The task makes no choices between classes, or the rows are not at hand.
    """
    task = task_class(run["task"]).from_record(run)
    if not task.has_choices:
        raise UserError(
            "compress: a model that is cut is healed by distillation, which is for choices between "
            "classes, and this run makes none; add --no-heal, and train the result again"
        )
    if rows is None and (run.get("data") or {}).get("in_python"):
        raise UserError(
            "compress: the data of this run were given in Python, so that no file holds the rows "
            "to heal with: call lowcost_ft.compress_run(run, output_dir, ..., train=rows, "
            "validation=rows), or leave the healing out with heal=False (--no-heal)"
        )
    if unlabelled_file is not None and not Path(unlabelled_file).expanduser().is_file():
        raise UserError(f"--unlabelled-file {unlabelled_file}: no such file")


def save_teacher(model: Any, tokenizer: Any, record: dict[str, Any], folder: Path) -> None:
    """Writes the model before the cut as a run of its own, which teaches."""
    save_model(model, tokenizer, folder)
    write_run(folder, record)


def heal_model(
    cut: Path,
    teacher: Path,
    *,
    run: dict[str, Any],
    unlabelled_file: str | None,
    rows: dict[str, Rows | None],
    trust_remote_code: bool,
    num_threads: int | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Trains the model in a folder to answer as its teacher; the folder then holds the result.

    Args:
        cut: Folder of the cut model.
        teacher: Folder of the model before the cut, as `save_teacher` wrote it.
        run: The content of the run's `run.json`.
        unlabelled_file: Texts without labels that are learned from, too.
        rows: Training and validation rows, where they are in Python.
        trust_remote_code: Whether the model's own Python code may run.
        num_threads: CPU threads.
        say: Prints one line.

    Returns:
        The record of the training.

    Raises:
        UserError: The data cannot be read again, or the run's settings exclude a teacher.
    """
    settings = run["config"] | vars(task_class(run["task"]).recorded_reading(run))
    names = [one.name for one in fields(DataConfig)] + list(_KEPT)
    if not settings.get("prompt_template"):
        names.remove("label_words")  # For the head of a contrastive training.
    healed = cut.with_name("healed")
    try:
        config = RunConfig(
            task=run["task"],
            method="full",
            teacher=str(teacher),
            student_model=str(cut),
            unlabelled_file=unlabelled_file,
            trust_remote_code=trust_remote_code,
            num_threads=num_threads,
            output_dir=str(healed),
            **{name: settings[name] for name in names if name in settings},
        )
        config = replace(config, test_file=None, max_steps=config.max_steps or None)
        given = rows if rows["train"] is not None else {}
        if given:
            config = replace(config, train_file=None, validation_file=None, dataset=None)

        def told(scores: dict[str, Any], _: object) -> None:
            metric = task_class(run["task"]).from_record(run).metric
            say(f"healing: {metric} {scores[metric]:.4f} on the validation split")

        # What a run says of its folder and of what to do next does not hold for this one.
        with contextlib.redirect_stdout(io.StringIO()), start_run(config) as started:
            data = load_data(started, **given, with_test=False)
            built = build(started, data)
            trained = train(started, built, data, on_scores=told)
            evaluated = evaluate(started, built, data, trained)
            save(started, built, data, trained, evaluated)
    except UserError as error:
        told_of = [f"healing: {one}; or leave it out by --no-heal" for one in error.problems]
        raise type(error)(told_of) from error
    record = load_run(healed)
    for file in healed.iterdir():
        if file.is_file() and file.name not in (RUN_FILE, "README.md"):
            file.replace(cut / file.name)
    shutil.rmtree(healed)
    return record


def measured(record: dict[str, Any]) -> dict[str, Any]:
    """What is known of the healed model and takes the place of what was known of the run."""
    return {name: record[name] for name in _MEASURED if name in record}
