"""Another text for a sentence with entities, and the tags that follow from where they are now."""

from collections.abc import Sequence
from dataclasses import replace

from lowcost_ft.data.text_edits import SpannedText
from lowcost_ft.tasks.editing import TextEditing
from lowcost_ft.tasks.ner.examples import NerExample
from lowcost_ft.tasks.ner.tagging import entities_to_tags, span_problems, tags_to_spans
from lowcost_ft.tasks.ner.word_pieces import joined_words

__all__ = ["NerEditing"]


class NerEditing(TextEditing):
    """The part of the task that changes texts.

    A sentence that came as words is one text, with a blank between two words, and comes back as
    words.
    """

    can_edit = True
    word_splitting: str

    def spanned_texts(self, example: NerExample) -> tuple[SpannedText, ...]:
        """The sentence with its entities."""
        text, offsets = example.text, example.offsets
        if text is None or offsets is None:
            if any(" " in word or not word for word in example.words):
                return ()
            text, offsets = joined_words(example.words)
        spans = (
            (offsets[first][0], offsets[last - 1][1], label)
            for first, last, label in tags_to_spans(example.tags or ())
        )
        return (SpannedText(text, tuple(spans)),)

    def with_texts(self, example: NerExample, texts: Sequence[SpannedText]) -> NerExample | None:
        """The sentence as it is now; None where an entity would not be whole words."""
        (spanned,) = texts
        if example.offsets is None:
            return _of_words(example, spanned)
        if span_problems(spanned.text, spanned.spans, self.word_splitting):
            return None
        words, offsets, tags, widened = entities_to_tags(
            spanned.text, spanned.spans, self.word_splitting
        )
        if widened or not words:
            return None
        return replace(example, words=words, offsets=offsets, tags=tags, text=spanned.text)


def _of_words(example: NerExample, spanned: SpannedText) -> NerExample | None:
    cut = spanned.text.split(" ")
    kept = [(word, place) for word, place in zip(cut, joined_words(cut)[1], strict=True) if word]
    tags = ["O"] * len(kept)
    for start, end, label in spanned.spans:
        inside = [n for n, (_, (first, last)) in enumerate(kept) if first < end and start < last]
        if not inside or (kept[inside[0]][1][0], kept[inside[-1]][1][1]) != (start, end):
            return None
        for number in inside:
            tags[number] = f"{'B' if number == inside[0] else 'I'}-{label}"
    words = tuple(word for word, _ in kept)
    if not words:
        return None
    return replace(example, words=words, tags=tuple(tags), first_line=None)
