"""Steps of rows that are all as long as `--max-length` allows: what a plan without data assumes."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.settings import USUAL_MICRO_BATCH_TOKENS
from lowcost_ft.data.features import Features
from lowcost_ft.memory.operators import Target
from lowcost_ft.models.hub import load_config
from lowcost_ft.models.loading import build_model
from lowcost_ft.models.positions import text_limits
from lowcost_ft.models.refusals import check_length
from lowcost_ft.planning.forecast import Forecast
from lowcost_ft.planning.model_options import model_options
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.registry import build_extensions
from lowcost_ft.training.step_plan import PlannedStep

__all__ = ["longest_forecast"]


def longest_forecast(config: RunConfig, target: Target, *, num_labels: int) -> Forecast:
    """Predicts steps of the longest rows.

    Args:
        config: Model and training; only the model's `config.json` is read.
        target: The hardware.
        num_labels: Outputs of the head.
    """
    described = load_config(
        config.model_id, revision=config.revision, trust_remote_code=config.trust_remote_code
    )
    limits = text_limits(
        described,
        head=task_class(config.task).head_for(vars(config)),
        trust_remote_code=config.trust_remote_code,
    )
    check_length(config.max_length, limits.read, config.model_id)
    task = task_class(config.task).for_planning([f"label {n}" for n in range(num_labels)])
    task.take_model(described, model_id=config.model_id)
    task.check_written_length(limits.written, model_id=config.model_id, config=config)
    features = _longest_rows(task, config, config.batch_size)
    full = max(config.settled_micro_batch_tokens // task.longest_row(config), 1)
    return Forecast(
        lambda wanted: build_model(
            **model_options(
                wanted,
                task,
                labels=task.labels,
                mixed_precision=target.mixed_precision,
                pad_token_id=0,
            ),
            on_meta=True,
        ),
        task,
        features,
        target=target,
        pad_token_id=0,
        splits=[_longest_rows(task, config, full + full // 2 + 1)],
        steps=partial(_longest_step, task),
        most_frozen_tokens=USUAL_MICRO_BATCH_TOKENS if config.leaves_cut_open else None,
        extend=lambda wanted, built: build_extensions(
            TrainingContext(
                settings=wanted, model=built.model, task=task, features=features, pad_token_id=0
            )
        ),
    )


def _longest_rows(task: Task, config: RunConfig, count: int) -> Features:
    """Rows as long as allowed, and as many that are one token shorter: batches have padding."""
    longest = task.longest_row(config)
    lengths = np.repeat([longest, longest - 1], count)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    rows, tokens = len(lengths), int(starts[-1])
    return Features(
        input_ids=np.full(tokens, 1, np.int32),
        starts=starts,
        examples=np.arange(rows),
        num_examples=rows,
        weights=np.ones(rows),
        arrays=task.longest_arrays(lengths, config),
        schema=task.schema,
    )


def _longest_step(task: Task, config: RunConfig) -> Iterator[PlannedStep]:
    """One step of `_longest_rows`: each micro-batch has one of the longest, the others shorter."""
    longest = task.longest_row(config)
    size = max(1, config.settled_micro_batch_tokens // longest)
    if config.gradient_accumulation_steps:
        size = -(-config.batch_size // config.gradient_accumulation_steps)
    micro_batches = []
    for first in range(0, config.batch_size, size):
        last = min(first + size, config.batch_size)
        shorter = config.batch_size + np.arange(first + 1, last)
        micro_batches.append(np.concatenate([[first], shorter]))
    tokens = config.batch_size * longest
    yield PlannedStep(
        number=1,
        epoch=0,
        last_of_epoch=True,
        examples=config.batch_size,
        rows=np.concatenate(micro_batches),
        micro_batches=[micro_batches],
        weight=1.0,
        real_tokens=tokens,
        padded_tokens=tokens,
        features=_longest_rows(task, config, config.batch_size),
    )
