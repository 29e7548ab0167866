"""Another text for a pair of entities, whose places follow; its label stays."""

from collections.abc import Sequence
from dataclasses import replace

from lowcost_ft.data.text_edits import SpannedText, is_glued
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.editing import TextEditing
from lowcost_ft.tasks.relation.examples import RelationExample

__all__ = ["RelationEditing"]

_SIDES = ("head", "tail")


class RelationEditing(TextEditing):
    """The part of the task that changes texts.

    The spans are the head and the tail. Their labels say which is which, since parts of the text
    may change places: `head person`, `tail firm`. An entity is so replaced by another one that has
    its side and type.
    """

    can_edit = True

    def spanned_texts(self, example: TextExample) -> tuple[SpannedText, ...]:
        """The text with its pair; nothing where the two overlap."""
        assert isinstance(example, RelationExample)
        ((head, tail),) = example.pairs
        if head.start < tail.end and tail.start < head.end:
            return ()
        spans = [
            (one.start, one.end, f"{side} {one.type}" if one.type else side)
            for side, one in zip(_SIDES, (head, tail), strict=True)
        ]
        return (SpannedText(example.text, tuple(sorted(spans))),)

    def listed_type(self, label: str) -> str:
        """The type alone: a list of entities does not say on which side they stand."""
        side, _, kind = label.partition(" ")
        return kind if side in _SIDES and kind else label

    def with_texts(
        self, example: TextExample, texts: Sequence[SpannedText]
    ) -> RelationExample | None:
        """The same pair in another text; None where one of the two is no whole words any more."""
        assert isinstance(example, RelationExample)
        (spanned,) = texts
        places = {label.split(" ")[0]: (start, end) for start, end, label in spanned.spans}
        pair = []
        for side, mention in zip(_SIDES, example.pairs[0], strict=True):
            start, end = places.get(side, (0, 0))
            old = (mention.start, mention.end)
            if not spanned.text[start:end].strip() or is_glued(
                example.text, old, spanned.text, (start, end)
            ):
                return None
            pair.append(replace(mention, start=start, end=end))
        return replace(example, text=spanned.text, pairs=((pair[0], pair[1]),))
