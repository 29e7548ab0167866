"""How long a run trains where nobody says: for enough optimizer steps, even on small data."""

from dataclasses import replace

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.settings import TrainingConfig

__all__ = ["LEAST_EPOCHS", "LEAST_STEPS", "MOST_EPOCHS", "evaluations_without_better"]
__all__ += ["length_notice", "num_epochs", "settle_length"]

LEAST_EPOCHS = 6
"""Passes over the data, however many rows there are."""
LEAST_STEPS = 600
"""Optimizer steps that small data is trained for (`docs/defaults.md`)."""
MOST_EPOCHS = 100
"""For a handful of rows, which would be seen hundreds of times."""
_PATIENCE = 3
_PATIENT_STEPS = 150


def _steps_an_epoch(settings: TrainingConfig, examples: int) -> int:
    return max(1, -(-examples // settings.batch_size))


def num_epochs(settings: TrainingConfig, examples: int) -> int:
    """Passes over the training data: the user's, or what makes enough optimizer steps.

    Args:
        settings: The optimization.
        examples: Training examples.
    """
    if settings.num_train_epochs != "auto":
        return settings.num_train_epochs
    enough = -(-LEAST_STEPS // _steps_an_epoch(settings, examples))
    return min(max(LEAST_EPOCHS, enough), MOST_EPOCHS)


def evaluations_without_better(settings: TrainingConfig, examples: int) -> int:
    """Evaluations after which training stops early: the user's, or those of enough steps.

    An epoch of small data is only a few steps, and a score may stand still for many of them before
    it rises: patience is a number of steps as well.

    Args:
        settings: The optimization.
        examples: Training examples.
    """
    if settings.early_stopping_patience != "auto":
        return settings.early_stopping_patience
    return max(_PATIENCE, -(-_PATIENT_STEPS // _steps_an_epoch(settings, examples)))


def length_notice(config: RunConfig, examples: int) -> str | None:
    """What the user is told where `auto` is not the usual number of epochs."""
    if config.max_steps or config.num_train_epochs != "auto":
        return None
    epochs = num_epochs(config, examples)
    if epochs == LEAST_EPOCHS:
        return None
    steps = epochs * _steps_an_epoch(config, examples)
    return (
        f"{examples:,} training rows are few, so the run takes {epochs} epochs ({steps:,} "
        f"optimizer steps) instead of {LEAST_EPOCHS}; --num-train-epochs sets another number"
    )


def settle_length(config: RunConfig, examples: int) -> RunConfig:
    """The same run with its number of epochs and its patience, which `auto` leaves open."""
    return replace(
        config,
        num_train_epochs=num_epochs(config, examples),
        early_stopping_patience=evaluations_without_better(config, examples),
    )
