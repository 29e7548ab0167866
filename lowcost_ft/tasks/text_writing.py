"""The parts of a task whose answers are texts that the model writes, token by token."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from lowcost_ft.config.generation import GenerationSettings
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import Features

__all__ = ["TextWriting"]


class TextWriting:
    """The part of a task that writing texts uses.

    Attributes:
        talks: Whether its examples are conversations, which `lowcost-ft chat` goes on with.
        writes: Whether its answers are texts, which the model writes after each example's `prompt`,
            once the losses of all examples are known. Otherwise `predict` generates by itself.
        translates: Whether the answer says the same as the text, in another language.
    """

    name: ClassVar[str]
    writes: ClassVar[bool] = False
    talks: ClassVar[bool] = False
    translates: ClassVar[bool] = False

    def check_written_length(
        self, longest: int | None, *, model_id: str, config: RunConfig | None = None
    ) -> None:
        """Refuses to write more tokens than the model has room for.

        Args:
            longest: How many it has positions for; None if there is no limit.
            model_id: For the message.
            config: The settings of a run that begins or is planned; None for one that is over.

        Raises:
            UserError: `--max-target-length` is too large.
        """

    def longest_row(self, config: RunConfig) -> int:
        """Tokens of the longest row that these settings allow."""
        return config.max_length

    def generation(self) -> GenerationSettings:
        """How texts are written."""
        raise AssertionError(f"{self.name} writes nothing")

    def prompt(self, features: Features, example: int) -> np.ndarray:
        """The tokens after which the model writes the answer to an example, `(tokens,)`."""
        raise AssertionError(f"{self.name} writes nothing")

    def written_rows(self, features: Features) -> np.ndarray:
        """The validation examples that texts are written for: all, or some drawn by the seed."""
        return np.arange(features.num_examples)

    def store_written(
        self, predictions: dict[str, Any], example: int, tokens: Sequence[int], *, near_tie: bool
    ) -> None:
        """Keeps the text of an example in `predictions`.

        Args:
            predictions: The arrays of all examples.
            example: Number of the example.
            tokens: The tokens of the text, without the one that ends it.
            near_tie: Whether two tokens were nearly equally probable somewhere, so that the text
                may differ from what the model writes for this row alone.
        """
        raise AssertionError(f"{self.name} writes nothing")
