"""A text with spans in it, and edits of the text that the spans follow to the character."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Edit", "SpannedText", "edited", "is_free", "is_glued", "joined"]

Edit = tuple[int, int, str]
"""Start and end (exclusive) of what is replaced, at least one character, and its replacement."""


@dataclass(frozen=True, slots=True)
class SpannedText:
    """A text and what is said of parts of it.

    Attributes:
        text: The text.
        spans: Start, end (exclusive) and label of each part, in the order of the text; no two
            overlap.
    """

    text: str
    spans: tuple[tuple[int, int, str], ...] = ()


def is_free(spanned: SpannedText, start: int, end: int) -> bool:
    """Whether no span has a character between `start` and `end`."""
    return all(end <= first or last <= start for first, last, _ in spanned.spans)


def is_glued(before: str, old: tuple[int, int], after: str, new: tuple[int, int]) -> bool:
    """Whether an edge of a span that stood between words lies inside a word after an edit.

    Args:
        before: The text.
        old: Where the span begins and ends there.
        after: The text after the edit.
        new: Where the span begins and ends there.
    """
    edges = zip(old, new, strict=True)
    return any(_in_word(after, there) and not _in_word(before, here) for here, there in edges)


def _in_word(text: str, place: int) -> bool:
    return 0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum()


def edited(spanned: SpannedText, edits: Iterable[Edit]) -> SpannedText:
    """The text after some edits, with its spans where their words are now.

    Args:
        spanned: The text.
        edits: Edits that do not overlap, in any order. Each lies inside of one span or outside of
            all: a span that is replaced as a whole leaves its label to what comes in its place.
    """
    ordered = sorted(edits)
    parts, place = [], 0
    for start, end, new in ordered:
        assert place <= start < end <= len(spanned.text), "edits overlap or lie outside"
        inside = any(first <= start and end <= last for first, last, _ in spanned.spans)
        assert inside or is_free(spanned, start, end), "an edit lies across the edge of a span"
        parts += [spanned.text[place:start], new]
        place = end

    def moved(position: int) -> int:
        grown = (len(new) - (end - start) for start, end, new in ordered if end <= position)
        return position + sum(grown)

    text = "".join([*parts, spanned.text[place:]])
    spans = ((moved(start), moved(end), label) for start, end, label in spanned.spans)
    return SpannedText(text, tuple(spans))


def joined(pieces: Sequence[SpannedText], between: str) -> SpannedText:
    """Pieces one after another, with `between` in between."""
    spans, length = [], 0
    for piece in pieces:
        spans += [(start + length, end + length, label) for start, end, label in piece.spans]
        length += len(piece.text) + len(between)
    return SpannedText(between.join(piece.text for piece in pieces), tuple(spans))
