"""The optimizer steps of a run: which examples, in which order, cut into which micro-batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from lowcost_ft.config.settings import TrainingConfig
from lowcost_ft.data.batching import MicroBatch, padded_tokens, plan_epoch
from lowcost_ft.data.features import Features
from lowcost_ft.training.recovery import MicroBatchBudget
from lowcost_ft.training.training_length import num_epochs

__all__ = ["PlannedStep", "costliest_steps", "cut_planned", "planned_steps"]


@dataclass(frozen=True)
class PlannedStep:
    """One optimizer step of the plan.

    Attributes:
        number: Number of the step, from 1.
        epoch: Number of the epoch, from 0.
        last_of_epoch: Whether an epoch ends with it.
        examples: Examples that it learns from.
        rows: Their rows.
        micro_batches: For each process its micro-batches.
        weight: Summed weights of all its rows: the denominator of its loss.
        real_tokens: Tokens of its rows.
        padded_tokens: Tokens of its rows, padding included.
        features: The rows of its epoch.
    """

    number: int
    epoch: int
    last_of_epoch: bool
    examples: int
    rows: np.ndarray
    micro_batches: list[list[MicroBatch]]
    weight: float
    real_tokens: int
    padded_tokens: int
    features: Features = field(repr=False)


def cut_planned(step: PlannedStep, budget: MicroBatchBudget, num_processes: int) -> PlannedStep:
    """The same step in the micro-batches that the budget allows."""
    lengths = step.features.widths
    shares = budget.share(step.rows, lengths, num_processes=num_processes)
    padded = sum(padded_tokens(share, lengths) for share in shares)
    return replace(step, micro_batches=shares, padded_tokens=padded)


def planned_steps(
    features: Features,
    settings: TrainingConfig,
    num_processes: int,
    budget: MicroBatchBudget | None = None,
    epoch_rows: Callable[[Features, int], Features] = lambda features, epoch: features,
) -> Iterator[PlannedStep]:
    """All optimizer steps of a run, in order: a function of data, settings and seed alone.

    Only how each is cut depends on the budget at the time that it is asked for.

    Args:
        features: The training data.
        settings: The optimization.
        num_processes: How many train together.
        budget: How steps are cut; by default as the settings say.
        epoch_rows: The rows of an epoch, given its number from 0; by default those of `features`.
    """
    budget = budget or MicroBatchBudget.of(settings)
    data, taken = features, 0
    epochs = 10**9 if settings.max_steps else num_epochs(settings, data.num_examples)
    for epoch in range(epochs):
        features = epoch_rows(data, epoch)
        row_lengths = features.lengths
        # An example with several windows is as long as its longest one.
        example_lengths = np.maximum.reduceat(features.widths, features.example_rows[:-1])
        steps = plan_epoch(
            example_lengths,
            batch_size=settings.batch_size,
            seed=settings.seed,
            epoch=epoch,
            group_by_length=settings.group_by_length,
        )
        for position, examples in enumerate(steps):
            rows = features.rows_of(examples)
            taken += 1
            step = PlannedStep(
                number=taken,
                epoch=epoch,
                last_of_epoch=position == len(steps) - 1,
                examples=len(examples),
                rows=rows,
                micro_batches=[],
                weight=max(float(features.weights[rows].sum()), 1e-12),
                real_tokens=int(row_lengths[rows].sum()),
                padded_tokens=0,
                features=features,
            )
            yield cut_planned(step, budget, num_processes)
            if settings.max_steps and taken == settings.max_steps:
                return


def costliest_steps(steps: Iterator[PlannedStep]) -> list[PlannedStep]:
    """The one or two steps that decide the peak of a run.

    One holds the micro-batch with most padded tokens (of those, the widest); the other, where it is
    another, that with most pairs of tokens, since attention may keep a number for each.
    """

    def costs(step: PlannedStep) -> list[tuple[int, int]]:
        lengths = step.features.widths
        shapes = [
            (len(rows), int(lengths[rows].max()))
            for share in step.micro_batches
            for rows in share
            if len(rows)
        ]
        return [max((n * t, t) for n, t in shapes), max((n * t * t, n) for n, t in shapes)]

    best: list[tuple[tuple[int, int], PlannedStep]] = []
    for step in steps:
        found = [(cost, step) for cost in costs(step)]
        best = [max(pair, key=lambda p: p[0]) for pair in zip(best or found, found, strict=True)]
    (_, tokens), (_, pairs) = best
    return [tokens] if pairs is tokens or costs(pairs)[0] == costs(tokens)[0] else [tokens, pairs]
