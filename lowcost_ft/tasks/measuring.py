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
    """The part of a task that `lowcost-ft attack` asks.

    Attributes:
        can_measure: Whether what follows is there.
        attack_flags: A dataclass of the flags that the task brings to `lowcost-ft attack`; each is
            a flag of `predict`, too.
    """

    can_measure: ClassVar[bool] = False
    attack_flags: ClassVar[type | None] = None

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

    def together(self, examples: Sequence[Any]) -> Any:
        """Several examples as one text with the truth of all; None where that has no truth."""
        return None


def mean_of(sums: Floats) -> Floats:
    """The mean of a number, from its sum and the count, `(..., 2)`."""
    import numpy as np

    means: Floats = sums[..., 0] / np.maximum(sums[..., 1], 1)
    return means
