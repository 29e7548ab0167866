"""A finished run that labels texts: its answers, how sure it is, and the scores of answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.tasks import task_settings
from lowcost_ft.errors import UserError
from lowcost_ft.models.tokenizers import load_tokenizer
from lowcost_ft.pipeline.predicting import predict
from lowcost_ft.pipeline.start import Run
from lowcost_ft.pipeline.teachers import load_teacher
from lowcost_ft.record.run_file import load_run
from lowcost_ft.scores.pseudo_labels import LEAST_ROWS
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.loading import Splits

__all__ = ["TOO_FEW_ROWS", "Labeller", "check_labels", "load_labeller"]

TOO_FEW_ROWS = (
    "--unlabelled-file: there are too few validation rows to tell which answers to trust; give "
    f"at least {LEAST_ROWS} of them, with --validation-file or a larger --validation-share"
)


@dataclass(frozen=True)
class Labeller:
    """A finished run that predicts.

    Attributes:
        folder: Its folder.
        record: The content of its `run.json`.
        task: Its task.
        tokenizer: Its tokenizer.
        model: Its model, on the device.
        run: The run that wants the labels.
    """

    folder: Path
    record: dict[str, Any]
    task: Task
    tokenizer: Any
    model: Any
    run: Run

    def predict(self, examples: Sequence[Any]) -> Predictions:
        """Predicts examples; all processes get the same predictions."""
        config = self.record["config"]
        features = self.task.featurize(examples, self.tokenizer, max_length=config["max_length"])
        return predict(
            self.run.accelerator,
            self.model,
            self.task,
            features,
            pad_token_id=int(self.tokenizer.pad_token_id),
            micro_batch_tokens=self.run.prediction_tokens,
        )

    def certainty(self, examples: Sequence[Any], predictions: Predictions) -> np.ndarray:
        """How sure the run is of each answer, at most 1, `(examples,)`."""
        doubts = self.task.uncertainty(examples, predictions)
        assert doubts is not None
        return 1 - doubts

    def tally(self, examples: Sequence[Any], predictions: Predictions) -> np.ndarray:
        """Numbers of each labelled example whose sums give the main score; see `Task.tally`."""
        found = self.task.tally(examples, predictions)
        assert found is not None
        return found


def check_labels(task: Task) -> None:
    """Refuses a task whose answers cannot be labels.

    Raises:
        UserError: The task's answers cannot be labels.
    """
    if not task.can_label:
        title = task_settings(task.name).title
        kind = f" ({task.problem_type})" if task.problem_type else ""
        raise UserError(
            f"--unlabelled-file: the answers of {title}{kind} cannot be taken as labels; leave it "
            "out, or give a --teacher"
        )


def load_labeller(run: Run, folder: str, splits: Splits) -> Labeller:
    """Loads a finished run on the device.

    Raises:
        UserError: The run is of another task, or has other labels than the training rows.
    """
    config: RunConfig = run.config
    record = load_run(folder)
    if record["task"] != config.task:
        raise UserError(
            f"--labelled-by {folder}: a run for {record['task']}, and this one is for "
            f"{config.task}; give a run of the same task"
        )
    if (
        set(record["labels"]) != set(splits.labels)
        or record.get("problem_type") != splits.problem_type
    ):
        raise UserError(
            f"--labelled-by {folder}: its labels are not those of the training rows; give a run "
            "that was trained on the same labels"
        )
    task: Task = task_class(config.task).from_record(record)
    check_labels(task)
    tokenizer = load_tokenizer(folder, **task.tokenizer_options)
    # As the run was scored itself: its scores are compared with those of this run.
    loaded = load_teacher(folder, record, config, as_trained=True)
    model = loaded.to(run.accelerator.device).eval()
    task.take_model(model.config, model_id=folder)
    task.take_tokenizer(tokenizer, model_id=folder)
    return Labeller(Path(folder), record, task, tokenizer, model, run)
