"""Settings of the training extensions, each under the flag that turns the extension on.

What they exclude is said by the extensions themselves (`training/extensions/`). Their default is
None: a run that was stopped before a setting existed goes on without it.
"""

from dataclasses import dataclass

from lowcost_ft.config.setting import setting

__all__ = ["ExtensionConfig"]


@dataclass(frozen=True, kw_only=True)
class ExtensionConfig:
    """What a training step does beyond the plain loss."""

    label_smoothing: float | None = setting(None, above=0, below=1)
    """Learn from targets that give this share of the probability to all classes alike, such as
    0.1. It keeps a model from being too sure."""
    focal_gamma: float | None = setting(None, above=0)
    """Focal loss: weigh each class decision by (1 - p)^gamma, where p is the probability of the
    right class, such as 2. Rare and hard classes then count more."""
    ema: float | None = setting(None, above=0, below=1)
    """Score and save an average of the weights instead of the last ones. Each step keeps this
    share of it, such as 0.99; in the first steps less, so that the start is forgotten."""
