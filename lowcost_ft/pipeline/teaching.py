"""The teachers of a distillation answer every training text once; their answers stay on disk."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowcost_ft.config.values import split_list
from lowcost_ft.data.features import Features
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.cache_key import digest
from lowcost_ft.frozen.filling import from_main
from lowcost_ft.frozen.stored_states import (
    PartialStates,
    check_space,
    default_cache_dir,
    locked,
    open_stored,
)
from lowcost_ft.pipeline.start import Run
from lowcost_ft.pipeline.teachers import (
    Teacher,
    answers_of,
    choice_numbers,
    find_teacher,
    load_teacher,
    states_width,
    weights_digest,
)
from lowcost_ft.pipeline.unlabelled import unlabelled_examples
from lowcost_ft.record.environment import versions
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.extensions.teaching import Teaching

__all__ = ["teach", "weighted"]

FORMAT = 2
"""Raised whenever answers are computed or laid out in another way."""


def teach(
    run: Run, task: Task, tokenizer: Any, train: Sequence[Any], features: Features
) -> Teaching:
    """Lets the teachers answer the training texts, or loads their answers from the cache.

    Args:
        run: The run, with `--teacher`.
        task: The student's task.
        tokenizer: The student's tokenizer.
        train: The labelled training examples.
        features: Their tokens.

    Raises:
        UserError: A teacher has other labels or makes other choices, the file without labels cannot
            be read, or the hidden states that are asked for cannot be compared.
    """
    config = run.config
    folders = list(split_list(config.teacher) or ())
    if task.choice_numbers(features, np.arange(1)) is None or not task.has_choices:
        raise UserError(
            "--teacher: for choices between classes, and this task makes none; leave it out"
        )
    unlabelled = unlabelled_examples(run)
    examples = [*train, *unlabelled]
    if unlabelled:
        features = task.featurize(examples, tokenizer, max_length=config.max_length)
    teachers = [find_teacher(folder, config.task, task, examples, features) for folder in folders]
    states = states_width(config, teachers, features, run.say)
    key = _key(run, teachers, states)
    folder = default_cache_dir().parent / "teachers" / from_main(key)
    choices = task.num_choices(features)
    sizes = {"logits": (choices, len(task.labels))}
    if states:
        sizes["states"] = (len(features.input_ids), states)
    problem = None
    if run.accelerator.is_main_process:
        try:
            with locked(folder):
                if any(open_stored(folder / name) is None for name in sizes):
                    _ask_all(run, task, teachers, folder, sizes)
                else:
                    run.say(f"teacher: reusing the answers in {folder}")
        except UserError as error:  # Other processes wait for this one, so it tells them.
            problem = str(error)
    if problem := from_main(problem):
        raise UserError(problem)
    stored = {name: open_stored(folder / name) for name in sizes}
    if (logits := stored["logits"]) is None or (states and stored["states"] is None):
        raise UserError(
            f"--teacher: this process does not see {folder}; set LOWCOST_FT_CACHE to a folder on "
            "a disk that all machines share"
        )
    answered = ~np.isnan(logits.flat.numpy()).any(axis=1)
    return Teaching(
        examples=examples,
        features=weighted(task, features, answered),
        logits=logits,
        states=stored.get("states"),
        digest=digest((name, found.flat) for name, found in stored.items() if found is not None),
        num_teachers=len(teachers),
        num_unlabelled=len(unlabelled),
    )


def weighted(task: Task, features: Features, answered: np.ndarray | None = None) -> Features:
    """The same rows with weights that count choices without a label, too.

    Args:
        task: The student's task.
        features: The rows.
        answered: Which choices some teacher makes, `(choices,)`; None: all.
    """
    weights = features.weights.copy()
    for rows, numbers, labelled in choice_numbers(task, features):
        counted = (numbers >= 0) & ~labelled
        if answered is not None:
            counted &= answered[np.maximum(numbers, 0)]
        weights[rows] += counted.sum(axis=1)
    return replace(features, weights=weights)


def _key(run: Run, teachers: Sequence[Teacher], states: int) -> str:
    installed = versions()
    described = {
        "format": FORMAT,
        "teachers": [
            {
                "weights": weights_digest(t.folder, t.run),
                "data": digest(
                    [
                        ("ids", t.features.input_ids),
                        ("starts", t.features.starts),
                        *sorted(t.features.arrays.items()),
                    ]
                ),
                "order": t.order,
            }
            for t in teachers
        ],
        "states": states,
        "precision": run.accelerator.mixed_precision,
        "device": run.accelerator.device.type,
        "threads": torch.get_num_threads(),
        "versions": {name: installed[name] for name in ("torch", "transformers")},
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


def _ask_all(
    run: Run,
    task: Task,
    teachers: Sequence[Teacher],
    folder: Path,
    sizes: dict[str, tuple[int, int]],
) -> None:
    """Lets the teachers answer one after another, and keeps the mean of their logits."""
    wide = {"logits": "fp32", "states": "fp16"}
    parts = {
        name: PartialStates(folder / name, shape=shape, stored_dtype=wide[name], setting="teacher")
        for name, shape in sizes.items()
    }
    needed = sum(part.num_bytes for part in parts.values())
    run.say(f"teacher: the answers need {needed / 1e6:,.1f} MB of disk in {folder}")
    check_space(folder, needed, setting="teacher")
    folder.mkdir(parents=True, exist_ok=True)
    total = np.zeros(sizes["logits"], np.float32)
    answered = np.zeros(len(total), np.float32)
    for part in parts.values():
        part.begin()
    try:
        for teacher in teachers:
            model = load_teacher(teacher.folder, teacher.run, run.config)
            model = model.to(run.accelerator.device).eval()
            answers = answers_of(
                run.accelerator,
                model,
                teacher,
                total,
                answered,
                micro_batch_tokens=run.prediction_tokens,
            )
            if "states" in parts:
                parts["states"].write(answers)
            else:
                for _ in answers:
                    pass
            del model
        with np.errstate(invalid="ignore"):
            total /= answered[:, None]  # NaN where no teacher answers.
        parts["logits"].write(iter([(0, torch.from_numpy(total))]))
        for part in parts.values():
            part.finish({"dtype": "float32", "teachers": [t.folder for t in teachers]})
    except BaseException:
        for part in parts.values():
            part.discard()
        raise
