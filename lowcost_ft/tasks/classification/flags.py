"""The flags of `predict`, `evaluate` and `explain` that text classification brings."""

from dataclasses import dataclass

from lowcost_ft.config.setting import setting

__all__ = ["ClassificationFlags", "DecisionFlags", "PairFlags"]


@dataclass(frozen=True, kw_only=True)
class DecisionFlags:
    """How scores become labels."""

    threshold: float | None = None
    """Multi-label: give the labels with this score or a higher one. Default: the thresholds that
    training chose by the validation split."""


@dataclass(frozen=True, kw_only=True)
class PairFlags(DecisionFlags):
    """What is predicted."""

    text_pair: str | None = None
    """The second text of a pair, beside --text."""


@dataclass(frozen=True, kw_only=True)
class ClassificationFlags(PairFlags):
    """What is predicted, and what an answer holds."""

    top_k: int | None = setting(None, at_least=1)
    """With --json: how many labels each line has under "scores", with their scores. Default: all if
    a text can have several labels, otherwise none."""
