"""Which texts of an example may be changed, and how its labelled spans follow."""

from collections.abc import Sequence
from typing import Any, ClassVar

from lowcost_ft.data.text_edits import SpannedText

__all__ = ["TextEditing"]


class TextEditing:
    """The part of a task that `--augment` uses.

    Attributes:
        can_edit: Whether the texts of its examples may be changed.
    """

    can_edit: ClassVar[bool] = False

    def spanned_texts(self, example: Any) -> tuple[SpannedText, ...]:
        """The texts of a labelled example, each with the spans that its truth is about.

        It is empty if the texts of this example cannot be changed.
        """
        raise NotImplementedError

    def listed_type(self, label: str) -> str:
        """The type by which lists of entities name spans with this label."""
        return label

    def with_texts(self, example: Any, texts: Sequence[SpannedText]) -> Any:
        """Makes an example with other texts, whose truth follows the spans.

        Args:
            example: A labelled example.
            texts: The changed texts, as many as `spanned_texts` returned.

        Returns:
            Another example; None if its truth does not hold for these texts.
        """
        raise NotImplementedError
