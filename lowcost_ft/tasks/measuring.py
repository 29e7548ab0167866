"""What a task tells comparisons of answers: before and after a change, or between groups."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Harm", "Measuring", "mean_of", "mistakes_first"]


class Harm:
    """How much a change of one example harms the task's metric, to find the worst change."""

    def of(self, number: int, values: Floats) -> Floats:
        """The harm of versions of an example, `(versions,)`.

        Args:
            number: Number of the example.
            values: Their values (`Measuring.harm_values`), `(versions,)`.
        """
        return values

    def keep(self, number: int, value: float) -> None:
        """Notes that an example has become a version with this value."""


class Measuring:
    """The part of a task that `lowcost-ft attack` and `lowcost-ft audit` use.

    Attributes:
        can_measure: Whether the task has the methods below.
        attack_flags: A dataclass of the flags that the task brings to `lowcost-ft attack`; each is
            a flag of `predict`, too.
        can_audit: Whether answers to texts about unlike groups of people can be compared.
        not_audited: Why not, for the message.
        audit_sentences: Whether a sentence about somebody may be put in front of a text, and
            leaves its truth as it was.
        audit_flags: The same as `attack_flags`, for `lowcost-ft audit`.
    """

    can_measure: ClassVar[bool] = False
    attack_flags: ClassVar[type | None] = None
    can_audit: ClassVar[bool] = False
    not_audited: ClassVar[str] = "it does not say how answers to changed texts are compared"
    audit_sentences: ClassVar[bool] = False
    audit_flags: ClassVar[type | None] = None

    def score_sums(
        self, examples: Sequence[Any], predictions: Any
    ) -> tuple[Callable[[Floats], Floats], Floats]:
        """How the task's metric is computed from sums over examples.

        Args:
            examples: Labelled examples.
            predictions: Their predictions.

        Returns:
            A function from sums `(..., numbers)` to scores `(...)`, and the numbers of each
            example, `(examples, numbers)`.
        """
        raise NotImplementedError

    def harm_values(self, examples: Sequence[Any], predictions: Any) -> Floats:
        """What tells how much changes of examples harm, `(examples,)`: by default the loss."""
        task: Any = self
        losses: Floats = task.losses(examples, predictions)
        return losses

    def harm(self, examples: Sequence[Any], predictions: Any) -> Harm:
        """The harm that changes of these examples do; by default their values are the harm."""
        return Harm()

    def verdicts(self, examples: Sequence[Any], predictions: Any) -> list[Hashable]:
        """The answer to each example, to be compared between a text and a changed one.

        It is empty if answers are numbers, which change a little with every text.
        """
        raise NotImplementedError

    def audited_values(
        self, examples: Sequence[Any], predictions: Any
    ) -> tuple[str, list[str], Floats]:
        """The values that are compared between texts about different groups of people.

        Args:
            examples: Labelled examples.
            predictions: Their predictions.

        Returns:
            The unit of the values, their names, and the values, `(examples, values)`.
        """
        raise NotImplementedError

    def together(self, examples: Sequence[Any]) -> Any:
        """Joins examples into one text with the truth of all; None if that has no truth."""
        return None


def mean_of(sums: Floats) -> Floats:
    """The mean of a number, `(...)`, from its sum and count, `(..., 2)`."""
    import numpy as np

    means: Floats = sums[..., 0] / np.maximum(sums[..., 1], 1)
    return means


def mistakes_first(counts: Floats, losses: Floats) -> Floats:
    """The harm to an F1, `(examples,)`: what is missed or wrong, and where that is equal, the loss.

    The loss alone would not do: it grows most where an answer is wrong already.

    Args:
        counts: What is right, found and true of each example, `(examples, 3)`.
        losses: `(examples,)`.
    """
    harms: Floats = counts[:, 1] - 2 * counts[:, 0] + losses / (1 + losses)
    return harms
