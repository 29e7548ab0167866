"""Tags and spans: how tags say where entities are, and which spans can become tags."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from lowcost_ft.data.rows import shown
from lowcost_ft.scores.iob2 import Span, strict_spans, tags_to_spans
from lowcost_ft.scores.tag_schemes import Scheme, detect_scheme, to_iob2
from lowcost_ft.tasks.ner.word_splitting import WORD_SPLITTING, split_words

__all__ = ["Scheme", "Span", "detect_scheme", "entities_to_tags"]
__all__ += ["is_tag", "span_problems", "strict_spans", "tags_to_spans", "to_iob2"]

_TAG = re.compile(r"O|[BIESLUMW]-.+", re.DOTALL)


def is_tag(tag: str) -> bool:
    """Whether a tag is `O`, or a prefix (B, I, E, S, L, U, M or W), a hyphen and a type."""
    return _TAG.fullmatch(tag) is not None


def span_problems(text: str, spans: Sequence[Span], rule: str = WORD_SPLITTING) -> list[str]:
    """What is wrong with the character spans of a text; empty if they can become tags."""
    problems = []
    for start, end, label in spans:
        where = f'entity {start}..{end} "{label}"'
        if not 0 <= start < end <= len(text):
            problems.append(
                f"{where} is not inside the text of {len(text)} characters; correct start and end"
            )
        elif not text[start:end].strip():
            problems.append(f"{where} covers only white space; correct start and end")
    if problems:
        return problems
    ordered = sorted(spans)
    words = split_words(text, rule)
    starts, ends = [start for start, _ in words], [end for _, end in words]
    for before, after in pairwise(ordered):
        pair = f'entities {before[0]}..{before[1]} "{before[2]}" and {after[0]}..{after[1]}'
        pair += f' "{after[2]}"'
        if before[:2] == after[:2]:
            problems.append(
                f"{pair} overlap: the same characters have two types, and a word has one tag; keep "
                f"one of the two"
            )
        elif after[0] < before[1]:
            inside = after[1] <= before[1] or after[0] == before[0]
            problems.append(
                f"{pair} overlap{': one lies inside the other' * inside}, and a word has one tag; "
                f"keep one of the two"
            )
        elif bisect_left(starts, before[1]) > (number := bisect_right(ends, after[0])):
            word = text[starts[number] : ends[number]]
            problems.append(
                f"{pair} lie in one word, {shown(word)}, which has one tag. Prediction does not "
                f"know where to cut it: a run of letters, digits and _ is one word. Put a blank "
                f"between the two in the text, or leave one of them out"
            )
    return problems


def entities_to_tags(
    text: str, spans: Sequence[Span], rule: str = WORD_SPLITTING
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...], tuple[str, ...], int]:
    """Cuts a text into words and tags them.

    A span that begins or ends inside a word is widened to whole words.

    Args:
        text: The text.
        spans: Character spans without `span_problems`.
        rule: The rule that cuts the words.

    Returns:
        The words, their offsets, their IOB2 tags, and how many spans were widened.
    """
    offsets = split_words(text, rule)
    starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
    tags = ["O"] * len(offsets)
    widened = 0
    for start, end, label in spans:
        first = bisect_right(ends, start)  # the first word that ends after the span's start
        last = bisect_left(starts, end) - 1  # the last word that starts before its end
        assert first <= last and set(tags[first : last + 1]) == {"O"}, "check span_problems first"
        widened += starts[first] < start or ends[last] > end
        tags[first] = f"B-{label}"
        tags[first + 1 : last + 1] = [f"I-{label}"] * (last - first)
    words = tuple(text[start:end] for start, end in offsets)
    return words, tuple(offsets), tuple(tags), widened
