"""What a task tells those who change the text of its examples, and how its spans follow."""

from collections.abc import Sequence
from typing import Any, ClassVar

from lowcost_ft.data.text_edits import SpannedText

__all__ = ["TextEditing"]


class TextEditing:
    """The part of a task that `--augment` asks.

    Attributes:
        can_edit: Whether the texts of its examples may be changed.
    """

    can_edit: ClassVar[bool] = False

    def spanned_texts(self, example: Any) -> tuple[SpannedText, ...]:
        """The texts of a labelled example, each with the spans that its truth is about.

        Empty where those of this example cannot be changed.
        """
        raise NotImplementedError

    def with_texts(self, example: Any, texts: Sequence[SpannedText]) -> Any:
        """The example with other texts, and a truth that has followed the spans.

        Args:
            example: A labelled example.
            texts: As many as `spanned_texts` gave, changed.

        Returns:
            Another example; None where its truth could not be told of these texts.
        """
        raise NotImplementedError
