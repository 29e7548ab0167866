"""The optimizer steps of a run: which examples, in which order, cut into which micro-batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from lowcost_ft.config.settings import TrainingConfig
from lowcost_ft.data.batching import MicroBatch, plan_epoch
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
        examples: Number of examples that it learns from.
        rows: Numbers of their rows, `(rows,)`.
        micro_batches: The micro-batches of each process.
        weight: Summed weights of all its rows, by which its summed loss is divided.
        real_tokens: Tokens of its rows, without padding.
        padded_tokens: Tokens of its rows, with padding.
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
    """Cuts a step into the micro-batches that the budget allows."""
    lengths = step.features.widths
    shares = budget.share(step.rows, lengths, num_processes=num_processes)
    padded = sum(step.features.padded_tokens(share) for share in shares)
    return replace(step, micro_batches=shares, padded_tokens=padded)


def planned_steps(
    features: Features,
    settings: TrainingConfig,
    num_processes: int,
    budget: MicroBatchBudget | None = None,
    epoch_rows: Callable[[Features, int], Features] = lambda features, epoch: features,
) -> Iterator[PlannedStep]:
    """Plans all optimizer steps of a run, in order; they depend on data, settings and seed alone.

    Only the cut of a step depends on the budget, as it is when the step is asked for.

    Args:
        features: The training data.
        settings: How to optimize.
        num_processes: How many processes train together.
        budget: How steps are cut; None: as the settings say.
        epoch_rows: Makes the rows of an epoch from `features` and the epoch's number, from 0; by
            default they are those of `features`.
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
    """Finds the one or two steps that decide the peak memory of a run.

    One holds the micro-batch with the most padded tokens (among equals, the longest). The other, if
    it is not the same, holds the micro-batch with the most pairs of tokens, since attention may
    keep a number for each pair.
    """

    def costs(step: PlannedStep) -> list[tuple[int, int]]:
        # All passes of a micro-batch are in memory together.
        passes = [
            step.features.shapes(rows)
            for share in step.micro_batches
            for rows in share
            if len(rows)
        ]
        return [
            max((sum(n * t for n, t in shapes), shapes[0][1]) for shapes in passes),
            max((sum(n * t * t for n, t in shapes), shapes[0][0]) for shapes in passes),
        ]

    best: list[tuple[tuple[int, int], PlannedStep]] = []
    for step in steps:
        found = [(cost, step) for cost in costs(step)]
        best = [max(pair, key=lambda p: p[0]) for pair in zip(best or found, found, strict=True)]
    (_, tokens), (_, pairs) = best
    return [tokens] if pairs is tokens or costs(pairs)[0] == costs(tokens)[0] else [tokens, pairs]
