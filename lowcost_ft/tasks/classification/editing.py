"""Other texts for an example of text classification: its label stays."""

from collections.abc import Sequence
from dataclasses import replace

from lowcost_ft.data.text_edits import SpannedText
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.editing import TextEditing

__all__ = ["ClassificationEditing"]


class ClassificationEditing(TextEditing):
    """The part of the task that changes texts, which have no spans."""

    can_edit = True

    def spanned_texts(self, example: TextExample) -> tuple[SpannedText, ...]:
        """The text, or both of a pair."""
        if example.text_pair is None:
            return (SpannedText(example.text),)
        return SpannedText(example.text), SpannedText(example.text_pair)

    def with_texts(self, example: TextExample, texts: Sequence[SpannedText]) -> TextExample:
        """The same label for other texts."""
        pair = texts[1].text if len(texts) > 1 else None
        return replace(example, text=texts[0].text, text_pair=pair)
