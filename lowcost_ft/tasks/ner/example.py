"""One sentence as NER sees it, and where its words stand."""

from dataclasses import dataclass

from lowcost_ft.data.rows import file_of
from lowcost_ft.tasks.ner.word_splitting import WORD_SPLITTING, split_words

__all__ = ["NerExample", "text_example", "word_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NerExample:
    """One sentence.

    Attributes:
        words: Its words.
        tags: One a word; None without labels. IOB2 once `ner_labels.finish` is through.
        source: File and line.
        text: The text that the words were cut from, where the input was one.
        offsets: Start and end of each word in `text`.
        first_line: Line of the first word, where each word has a line of its own; the line of
            each where other lines stand between them.
        row_id: What the row's column "id" holds, to be told beside the prediction.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    source: str
    text: str | None = None
    offsets: tuple[tuple[int, int], ...] | None = None
    first_line: int | tuple[int, ...] | None = None
    row_id: str | int | float | None = None


def text_example(
    text: str,
    *,
    source: str = "text",
    row_id: str | int | float | None = None,
    rule: str = WORD_SPLITTING,
) -> NerExample:
    """An unlabelled example, cut into words by `split_words`."""
    offsets = tuple(split_words(text, rule))
    words = tuple(text[start:end] for start, end in offsets)
    return NerExample(
        words=words, tags=None, source=source, text=text, offsets=offsets, row_id=row_id
    )


def word_source(source: str, first_line: int | tuple[int, ...] | None, position: int) -> str:
    """File and line of a word; the row and the word where it has no line of its own."""
    if first_line is None:
        return f"{source} word {position + 1}"
    line = first_line[position] if isinstance(first_line, tuple) else first_line + position
    return f"{file_of(source)}:{line}"
