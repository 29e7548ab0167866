"""Probabilities for rows by LoRA adapters that were trained on the other rows: `--thorough`.

A head on frozen states knows only what the pretrained model knows of the texts. An adapter learns
the task, for the price of a training for each fold.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from lowcost_ft.config.run import RunConfig
from lowcost_ft.doctor.checked_data import CheckedData
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import forward_module
from lowcost_ft.pipeline.build import build
from lowcost_ft.pipeline.data import load_data
from lowcost_ft.pipeline.start import start_run
from lowcost_ft.pipeline.teachers import Teacher, answers_of
from lowcost_ft.pipeline.train import train

__all__ = ["AdapterSettings", "adapter_probabilities"]


@dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """How the adapters are trained; the rest is as in the recipe of the task.

    Attributes:
        model_id: The pretrained model.
        revision: Branch, tag or commit of the model.
        trust_remote_code: Whether the model's own Python code may run.
        max_length: Longest input in tokens.
        seed: Seed of the trainings.
        max_steps: Optimizer steps of each training; None: as many as the recipe takes.
    """

    model_id: str
    revision: str | None = None
    trust_remote_code: bool = False
    max_length: int = 128
    seed: int = 0
    max_steps: int | None = None


def adapter_probabilities(
    data: CheckedData,
    settings: AdapterSettings,
    folds: np.ndarray,
    trusted: np.ndarray | None = None,
) -> np.ndarray:
    """Probabilities of each label for each choice, by adapters trained on the other folds.

    A choice is the class of a text, or the tag of a word. There are no validation rows: the weights
    after the last step judge, as they are without a validation split in a run.

    Args:
        data: Data with one class a row, or with entities.
        settings: How the adapters are trained.
        folds: The fold of each training example, `(examples,)`.
        trusted: Which examples may be learned from, `(examples,)`; None: all.

    Returns:
        `(choices, labels)`, in the order of the examples; zero for a label that none of the other
        folds has, and 1 for the only one that they have. All alike for words that are nothing to
        the model.

    Raises:
        UserError: The rows cannot be trained on.
    """
    sizes = [_num_choices(data, one) for one in data.train.examples]
    owners = np.repeat(np.arange(len(sizes)), sizes)
    found = np.zeros((len(owners), len(data.labels)))
    numbers = np.unique(folds)
    with tqdm(
        total=len(numbers), desc="training adapters", unit="fold", file=sys.stderr, disable=None
    ) as bar:
        for fold in numbers:
            used = (folds != fold) if trusted is None else (folds != fold) & trusted
            held_out = np.flatnonzero(folds == fold)
            found[np.isin(owners, held_out)] = _one_fold(
                data, np.flatnonzero(used), held_out, settings
            )
            bar.update()
    return found


def _one_fold(
    data: CheckedData, used: np.ndarray, held_out: np.ndarray, settings: AdapterSettings
) -> np.ndarray:
    """Probabilities of the choices of some examples, by an adapter trained on others."""
    split = data.train
    examples = [split.examples[number] for number in held_out]
    if (only := _only_label(data, used)) is not None:
        choices = sum(_num_choices(data, one) for one in examples)
        found = np.zeros((choices, len(data.labels)))
        found[:, data.labels.index(only)] = 1.0
        return found
    reading = replace(data.reading, format="auto", csv_quotes=True)  # Rows are no file.
    rows: list[dict[str, Any]] = [split.rows[split.places[number]].values for number in used]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        config = RunConfig(
            task=data.task,
            method="lora",
            output_dir=str(Path(folder) / "run"),
            validation_share=0.0,
            num_threads=torch.get_num_threads(),  # The doctor's own.
            **vars(reading) | vars(settings),
        )
        try:
            with start_run(config) as run:
                loaded = load_data(run, train=rows, with_test=False)
                built = build(run, loaded)
                train(run, built, loaded)
                return _asked(data, run, loaded, built.model.model, examples)
        except UserError as error:
            raise UserError([f"--thorough: {one}" for one in error.problems]) from error


def _num_choices(data: CheckedData, example: Any) -> int:
    return 1 if data.kind.spans_of(example) is None else len(data.kind.words_of(example))


def _only_label(data: CheckedData, used: np.ndarray) -> str | None:
    """The label of all choices of some examples, which no training could tell from others."""
    examples = [data.train.examples[number] for number in used]
    if data.kind.spans_of(data.train.examples[0]) is not None:
        return None if any(data.kind.spans_of(one) for one in examples) else data.labels[0]
    classes = {data.class_of(one) for one in examples}
    return classes.pop() if len(classes) == 1 else None


def _asked(
    data: CheckedData, run: Any, loaded: Any, model: Any, examples: Sequence[Any]
) -> np.ndarray:
    """What a trained model thinks of some examples, `(choices, labels of all data)`."""
    task = loaded.task
    features = task.featurize(examples, loaded.tokenizer, max_length=run.config.max_length)
    known = [label for label in data.labels if label in task.labels]
    teacher = Teacher(
        folder="",
        run=run.record,
        task=task,
        features=features,
        pad_token_id=loaded.pad_token_id,
        order=[task.labels.index(label) for label in known],
    )
    logits = np.zeros((task.num_choices(features), len(known)), np.float32)
    answered = np.zeros(len(logits), np.int64)
    for _ in answers_of(
        run.accelerator,
        forward_module(model).eval(),
        teacher,
        logits,
        answered,
        micro_batch_tokens=run.prediction_tokens,
    ):
        pass
    shares = torch.from_numpy(logits).softmax(-1).numpy()
    numbers = task.shown_choices(examples)
    shares = np.where(numbers[:, None] < 0, 1 / len(known), shares[numbers])
    found = np.zeros((len(numbers), len(data.labels)))
    found[:, [data.labels.index(label) for label in known]] = shares
    return found
