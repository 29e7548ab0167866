"""Compares two models that should answer alike, on a run's validation split.

Parity: how far their outputs lie apart. Drift: how many predictions differ, and both scores.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from accelerate.utils import DistributedType

from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.data.python_rows import Rows
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.predicting import predict
from lowcost_ft.pipeline.run_input import read_labelled_file
from lowcost_ft.pipeline.run_splits import load_run_splits
from lowcost_ft.record.prediction_tokens import prediction_tokens
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.heads import find_head
from lowcost_ft.tasks.inputs import read_examples

__all__ = ["PARITY_ROWS", "Comparison", "Drift", "compare", "outputs_of", "validation_examples"]

PARITY_ROWS = 64
"""Rows of the validation split that the parity of logits is checked on."""


class _ThisCpu:
    """An accelerator for `predict`: one process in float32 on the CPU, even if there is a GPU."""

    device = torch.device("cpu")
    distributed_type = DistributedType.NO
    num_processes = 1
    process_index = 0
    is_main_process = True
    autocast = staticmethod(nullcontext)


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How the answers of two models differ."""

    changed: int
    """Number of predictions that differ."""
    predictions: int
    drift: float
    """Share of the predictions that differ."""
    score_before: float
    score_after: float
    metric: str


@dataclass
class Comparison:
    """The data that models are compared on, in float32 on the CPU.

    Attributes:
        run: The content of `run.json`.
        task: The run's task.
        tokenizer: The tokenizer of the models.
        examples: The examples of a split.
        features: Their tokens.
    """

    run: dict[str, Any]
    task: Task
    tokenizer: Any
    examples: Sequence[Any]
    features: Features

    @classmethod
    def of(cls, run: dict[str, Any], tokenizer: Any, examples: Sequence[Any]) -> Self:
        """Prepares a comparison on a split, which is tokenized as the run's data were."""
        task: Task = task_class(run["task"]).from_record(run)
        features = task.featurize(examples, tokenizer, max_length=run["config"]["max_length"])
        return cls(run, task, tokenizer, examples, features)

    def predict(
        self, model: Any, features: Features | None = None, *, concurrent: bool = False
    ) -> Predictions:
        """Predicts the whole split, or other features."""
        return predict(
            _ThisCpu(),
            model,
            self.task,
            self.features if features is None else features,
            pad_token_id=self.tokenizer.pad_token_id,
            micro_batch_tokens=prediction_tokens(self.run),
            concurrent=concurrent,
        )

    def outputs(self, model: Any, *, together: int = 1) -> torch.Tensor:
        """Outputs for the first rows, of which `together` are padded together; see `outputs_of`."""
        pad_token_id = self.tokenizer.pad_token_id
        return outputs_of(
            self.task, model, self.features, pad_token_id=pad_token_id, together=together
        )

    def drift(
        self, before: Predictions, after: Predictions, *, earlier: Task | None = None
    ) -> Drift:
        """How the predictions of two models differ; see `compare`."""
        seed = self.run["seed"]
        return compare(self.task, self.examples, before, after, seed=seed, earlier=earlier)


def validation_examples(
    run: dict[str, Any],
    rows: Rows | None,
    *,
    command: str,
    call: str,
    say: Callable[[str], object],
) -> tuple[list[Any], str]:
    """The examples that predictions are compared on, and the name of their split.

    A run without validation rows is compared on those that it was trained on: "train". Rows that
    have changed since the training are taken as they are, with a note.

    Args:
        run: The content of `run.json`.
        rows: The validation rows, or the path of their file, if the user gives them; else None.
        command: Name of the command, for messages.
        call: The function to call from Python with rows, for messages.
        say: Prints one line.

    Raises:
        UserError: The data have been removed, or were given in Python.
    """
    usual = task_class(run["task"]).recorded_reading(run)
    if isinstance(rows, str):
        notices: list[str] = []
        read = read_labelled_file(run, rows, notices=notices)
        for notice in notices:
            say(f"note: {notice}")
        return read, "validation"
    if rows is not None:
        decided = replace(usual, problem_type=run.get("problem_type"))
        read = read_examples(run["task"], rows, "validation", reading=decided, labels=run["labels"])
        return read, "validation"
    if (run.get("data") or {}).get("in_python"):
        raise UserError(
            f"{command}: the data of this run were given in Python, so that no file holds its "
            f"validation rows: give labelled ones with --validation-file, or call {call}"
        )
    known = run.get("data") or {}
    test_file = run["config"].get("test_file")
    with_test = "test" in known.get("rows", ("test",))
    # Nothing is measured on the test rows, whose file is seldom where a model is used.
    if with_test and test_file and not Path(test_file).expanduser().exists():
        with_test, known = False, known | {"fingerprint": None}
        say(
            f"note: {test_file}, the test file of this run, is not there, so that it is not known "
            "whether its data have changed since it was trained"
        )
    try:
        splits = load_run_splits(
            run["config"] | vars(usual) | {"task": run["task"]},
            with_test=with_test,
        )
    except UserError as error:
        raise UserError(
            f"{command}: answers are compared on the data that the run names, and they cannot be "
            f"read: {'; '.join(error.problems)}. Start the command in the folder where the run was "
            f"trained, bring the files back, give labelled rows with --validation-file, or call "
            f"{call}"
        ) from error
    if known.get("fingerprint") not in (None, splits.fingerprint):
        say(
            "note: the data of this run have changed since it was trained: "
            f"{command} takes the rows that are there now, and the model may have learned some of "
            "those that it is measured on"
        )
    if splits.validation:
        return splits.validation, "validation"
    return splits.train, "train"


def outputs_of(
    task: Task, model: Any, features: Features, *, pad_token_id: int, together: int = 1
) -> torch.Tensor:
    """All outputs for some rows, in float32 on the CPU, without those for padding, `(outputs,)`.

    Args:
        task: The task of both models.
        model: A model in evaluation mode.
        features: The split; its first `PARITY_ROWS` rows are taken.
        pad_token_id: Token that fills up a micro-batch.
        together: Number of rows that are padded together.
    """
    found = []
    per_text = find_head(task.head).per_text
    count = min(PARITY_ROWS, len(features.lengths))
    with torch.inference_mode():
        for first in range(0, count, together):
            rows = np.arange(first, min(first + together, count))
            batch = collate(features, rows, pad_token_id=pad_token_id)
            outputs = task.forward(model, model_inputs(batch, features))
            tensors = outputs.values() if isinstance(outputs, dict) else [outputs]
            real = task.real_outputs(outputs, batch)
            # The order must not depend on `together`.
            for row in range(len(rows)):
                for tensor in tensors:
                    one = tensor[row]
                    found.append((one if per_text else one[real[row]]).flatten())
    return torch.cat(found) if found else torch.empty(0)


def compare(
    task: Task,
    examples: Sequence[Any],
    before: Predictions,
    after: Predictions,
    *,
    seed: int,
    earlier: Task | None = None,
) -> Drift:
    """Computes the drift between two models' predictions for the same examples.

    Args:
        task: The task, with the thresholds by which predictions become answers.
        examples: The examples.
        before: Predictions of the first model.
        after: Predictions of the second one.
        seed: Seed of the intervals, which are not used.
        earlier: The task with the thresholds of the first model, where it has others.
    """
    differs = task.changed_since(earlier or task, examples, before, after)
    changed, count = int(differs.sum()), differs.size
    scores = [
        one.score(examples, found, seed=seed)
        for one, found in ((earlier or task, before), (task, after))
    ]
    return Drift(
        changed=changed,
        predictions=count,
        drift=changed / max(count, 1),
        score_before=float(scores[0][task.metric]),
        score_after=float(scores[1][task.metric]),
        metric=task.metric,
    )
