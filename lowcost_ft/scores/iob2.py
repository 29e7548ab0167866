"""Entities of IOB2 tags: what scores count."""

from collections.abc import Sequence

__all__ = ["Span", "strict_spans", "tags_to_spans"]

Span = tuple[int, int, str]
"""Start, end (exclusive) and label, in characters of a text or in words of a sentence."""


def tags_to_spans(tags: Sequence[str]) -> list[Span]:
    """Entities of one sentence's IOB2 tags, in words; an I- that continues nothing begins one."""
    spans: list[Span] = []
    start, label = -1, ""
    for position, tag in enumerate((*tags, "O")):
        if start >= 0 and (tag[0] != "I" or tag[2:] != label):
            spans.append((start, position, label))
            start = -1
        if tag != "O" and start < 0:
            start, label = position, tag[2:]
    return spans


def strict_spans(tags: Sequence[str]) -> list[Span]:
    """Entities of one sentence by strict IOB2, in words: only a B- begins one.

    These are seqeval's, but for the types: it strips hyphens from their ends.
    """
    # What continues nothing is the first word of a span that a B- does not begin.
    return [span for span in tags_to_spans(tags) if tags[span[0]][0] == "B"]
