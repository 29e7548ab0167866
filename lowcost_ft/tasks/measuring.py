"""What a task tells those who compare answers: of texts before and after a change, or of groups."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Measuring", "mean_of"]


class Measuring:
    """The part of a task that `lowcost-ft attack` and `lowcost-ft audit` ask.

    Attributes:
        can_measure: Whether what follows is there.
        attack_flags: A dataclass of the flags that the task brings to `lowcost-ft attack`; each is
            a flag of `predict`, too.
        can_audit: Whether answers to texts about unlike groups of people can be compared.
        not_audited: Why not.
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
        """What the task's metric is computed from.

        Args:
            examples: Labelled examples.
            predictions: Theirs.

        Returns:
            From sums `(..., numbers)` to scores `(...)`, and the numbers of each example,
            `(examples, numbers)`.
        """
        raise NotImplementedError

    def verdicts(self, examples: Sequence[Any], predictions: Any) -> list[Hashable]:
        """What is answered of each example, comparable between a text and a changed one.

        Nothing where answers are numbers, which differ a little whenever a text does.
        """
        raise NotImplementedError

    def audited_values(
        self, examples: Sequence[Any], predictions: Any
    ) -> tuple[str, list[str], Floats]:
        """What may differ between texts about unlike groups of people.

        Args:
            examples: Labelled examples.
            predictions: Theirs.

        Returns:
            What values are measured in; their names; and the values, `(examples, values)`.
        """
        raise NotImplementedError

    def together(self, examples: Sequence[Any]) -> Any:
        """Several examples as one text with the truth of all; None where that has no truth."""
        return None


def mean_of(sums: Floats) -> Floats:
    """The mean of a number, from its sum and the count, `(..., 2)`."""
    import numpy as np

    means: Floats = sums[..., 0] / np.maximum(sums[..., 1], 1)
    return means
