"""How long a run trains if the user does not say: enough optimizer steps, even on small data."""

from dataclasses import replace

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.settings import TrainingConfig
from lowcost_ft.tasks import task_class
from lowcost_ft.training.extensions.registry import usual_epochs

__all__ = ["LEAST_EPOCHS", "LEAST_STEPS", "MOST_EPOCHS", "epochs_between_scores"]
__all__ += ["length_notice", "num_epochs", "settle_length"]

LEAST_EPOCHS = 6
"""Fewest passes over the data, however many rows there are."""
LEAST_STEPS = 600
"""Optimizer steps that small data is trained for (`docs/defaults.md`)."""
MOST_EPOCHS = 100
"""Most passes over a handful of rows, which would otherwise be seen hundreds of times."""
_STEPS_BETWEEN_SCORES = 50


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
    if (asked := _asked_for(settings, examples)) is not None:
        return asked
    enough = -(-LEAST_STEPS // _steps_an_epoch(settings, examples))
    return min(max(LEAST_EPOCHS, enough), MOST_EPOCHS)


def _asked_for(settings: TrainingConfig, examples: int) -> int | None:
    """The usual number of an extension or of the task; None: that of any run."""
    asked = usual_epochs(settings, examples)
    if asked is None and isinstance(settings, RunConfig):
        asked = task_class(settings.task).usual_epochs(settings, examples)
    return asked


def epochs_between_scores(settings: TrainingConfig, examples: int) -> int:
    """Epochs after which the validation split is scored: the user's, or those of enough steps.

    An epoch of small data is only a few steps. A score after each would cost more than the training
    where the validation split is large, and early stopping would be out of patience before the
    score begins to rise.

    Args:
        settings: The optimization.
        examples: Training examples.
    """
    if settings.validate_every_epochs != "auto":
        return settings.validate_every_epochs
    if settings.num_train_epochs != "auto" or settings.max_steps is not None:
        return 1
    return -(-_STEPS_BETWEEN_SCORES // _steps_an_epoch(settings, examples))


def length_notice(config: RunConfig, examples: int) -> str | None:
    """What to tell the user about epochs: they are not the usual number, or have no effect."""
    if config.max_steps is not None and config.num_train_epochs != "auto":
        return (
            f"--max-steps {config.max_steps:,} decides how long the run trains, and "
            f"--num-train-epochs {config.num_train_epochs} has no effect"
        )
    if config.max_steps is not None or config.num_train_epochs != "auto":
        return None
    epochs = num_epochs(config, examples)
    if _asked_for(config, examples) is not None:
        return f"{examples:,} training rows are learned in {epochs} epochs (--num-train-epochs)"
    if epochs == LEAST_EPOCHS:
        return None
    steps = epochs * _steps_an_epoch(config, examples)
    return (
        f"{examples:,} training rows are few, so the run takes {epochs} epochs ({steps:,} "
        f"optimizer steps) instead of {LEAST_EPOCHS}; --num-train-epochs sets another number"
    )


def settle_length(config: RunConfig, examples: int) -> RunConfig:
    """The same run with numbers of epochs where `auto` left them open."""
    return replace(
        config,
        num_train_epochs=num_epochs(config, examples),
        validate_every_epochs=epochs_between_scores(config, examples),
    )
