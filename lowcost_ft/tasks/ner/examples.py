"""Rows -> NER examples: words, and their tags as the file has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.label_names import read_label_names
from lowcost_ft.data.rows import (
    Row,
    column_names,
    counted,
    file_of,
    find_column,
    listed,
    read_id,
    read_text,
    same_column,
    shown,
    surrogate_fault,
    text_fault,
)
from lowcost_ft.tasks.ner.entity_spans import (
    agreeing_spans,
    clean_spans,
    read_entities,
    with_whole_addresses,
)
from lowcost_ft.tasks.ner.tag_spelling import TagSpelling, find_spelling
from lowcost_ft.tasks.ner.tagging import entities_to_tags, span_problems
from lowcost_ft.tasks.ner.word_splitting import WORD_SPLITTING, split_words

__all__ = ["NerExample", "read_examples", "text_example", "word_source"]

_TOKENS = ("tokens", "words")
_TAGS = ("tags", "ner_tags", "ner", "labels")
_TEXTS = ("text", "sentence", "content", "message")
_ENTITIES = ("entities", "spans")
_TRIPLES = ("label", "labels")


_WHOLE = "which is one word: --word-splitting unicode-v1 cuts it into several"
_TOLD = {
    "widened": "begin or end inside a word and were widened to whole words",
    "in_address": f"lie inside a web or e-mail address and were widened to all of it, {_WHOLE}",
    "beside": f"lie in the web or e-mail address of another one and were left out, {_WHOLE}",
    "trimmed": "begin or end with white space, which was cut off",
    "dropped": "stand there twice and were taken once",
}
"""What notices say of entities that are not read as the file has them."""


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


def read_examples(
    rows: Sequence[Row],
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
    labelled: bool = True,
) -> list[NerExample]:
    """Reads one split's rows: tokens and tags, or a text and its entities.

    Args:
        rows: Rows of one file or split.
        reading: How the rows are read; what is not given is guessed.
        problems: Gets a line for each problem.
        notices: Gets a line for guessed columns and for spans widened to whole words.
        labelled: Whether to read tags; if not, `tags` is None.

    Returns:
        The examples without problems, their tags in the scheme of the input.
    """
    if not rows:
        return []
    names = column_names(rows)
    tokenized = any(name in names for name in _TOKENS) or (
        not any(name in names for name in _TEXTS) and _has_column(names, _TOKENS)
    )
    if reading.tokens_column is not None or (tokenized and reading.text_column is None):
        return _read_tokens(rows, reading, problems, notices, labelled)
    return _read_texts(rows, reading, problems, notices, labelled)


def _has_column(names: Sequence[str], guesses: Sequence[str]) -> bool:
    return any(same_column(names, guess) is not None for guess in guesses)


def _read_tokens(
    rows: Sequence[Row],
    reading: ReadingOptions,
    problems: list[str],
    notices: list[str],
    labelled: bool,
) -> list[NerExample]:
    found: dict[str, Any] = {"problems": problems, "notices": notices}
    tokens_column = find_column(rows, reading.tokens_column, _TOKENS, "tokens", **found)
    tags_column = (
        find_column(rows, reading.tags_column, _TAGS, "tags", **found) if labelled else None
    )
    if tokens_column is None or (labelled and tags_column is None):
        return []
    used = [name for name in (tokens_column, tags_column) if name is not None]
    spelling = TagSpelling("usual")
    if tags_column is not None:
        before = len(problems)
        names = _names(reading, problems)
        given = [row.values.get(tags_column) for row in rows]
        spelling = find_spelling(
            [tags for tags in given if isinstance(tags, list | tuple)],
            file=file_of(rows[0].source),
            names=names,
            problems=problems,
            notices=notices,
        )
        if len(problems) > before:
            return []
    examples = []
    for row in rows:
        before = len(problems)
        words = _read_words(row, tokens_column, problems)
        tags = None if tags_column is None else _read_tags(row, tags_column, spelling, problems)
        if tags is not None and len(tags) != len(words) and len(problems) == before:
            problems.append(
                f"{row.source}: {counted(len(words), 'token')} but "
                f"{counted(len(tags), 'tag')}; give each token one"
            )
        if len(problems) == before:
            examples.append(
                NerExample(
                    words=words,
                    tags=tags,
                    source=row.source,
                    first_line=row.first_line,
                    row_id=read_id(row, used),
                )
            )
    return examples


def _read_words(row: Row, column: str, problems: list[str]) -> tuple[str, ...]:
    value = row.values.get(column)
    where = f"{row.source}: {shown(column)}"
    if not isinstance(value, list | tuple):
        problems.append(
            f"{where} must be a list of words, not {shown(value)}; JSONL, Parquet and CoNLL files "
            f"can hold one (a text goes into a column that --text-column names)"
        )
        return ()
    if not value:
        problems.append(f"{where} is an empty text; fill it in or delete the row")
    for position, word in enumerate(value):
        if isinstance(word, str) and word.isspace():
            continue  # a no-break space, say: a word that no tokenizer sees, and so an O
        if fault := text_fault(word):
            place = word_source(row.source, row.first_line, position)
            problems.append(f"{place}: a token {fault}")
    return tuple(value)


def _names(reading: ReadingOptions, problems: list[str]) -> list[str]:
    return [] if reading.label_names is None else read_label_names(reading.label_names, problems)


def _read_tags(
    row: Row, column: str, spelling: TagSpelling, problems: list[str]
) -> tuple[str, ...]:
    value = row.values.get(column)
    where = f"{row.source}: {shown(column)}"
    if value is None:
        problems.append(f"{where} is missing; give every row its tags")
        return ()
    if not isinstance(value, list | tuple):
        problems.append(f"{where} must be a list of tags, not {shown(value)}")
        return ()
    tags, fault_at = spelling.read(value)
    if fault_at is not None:
        tag = value[fault_at]
        kind = "missing" if tag is None else f"{shown(tag)}, neither O nor PREFIX-TYPE"
        # One of a sentence: the others are likely the same.
        problems.append(
            f"{word_source(row.source, row.first_line, fault_at)}: tag is {kind}; write it "
            f"as B-person, I-person, ... (prefixes: B I E S L U M W)"
        )
        return tuple(value)
    for position, tag in enumerate(tags):
        if fault := surrogate_fault(tag):
            problems.append(f"{word_source(row.source, row.first_line, position)}: tag {fault}")
    return tuple(tags)


def _read_texts(
    rows: Sequence[Row],
    reading: ReadingOptions,
    problems: list[str],
    notices: list[str],
    labelled: bool,
) -> list[NerExample]:
    if reading.text_column is None and not _has_column(column_names(rows), _TEXTS):
        problems.append(
            f"{file_of(rows[0].source)}: no column of words or of a text; name it with "
            f"--tokens-column or --text-column; the columns are {listed(column_names(rows))}"
        )
        return []
    found: dict[str, Any] = {"problems": problems, "notices": notices}
    text_column = find_column(rows, reading.text_column, _TEXTS, "text", **found)
    guesses = [*_ENTITIES, *(name for name in _TRIPLES if _holds_spans(rows, name))]
    tags_column = (
        find_column(rows, reading.tags_column, guesses, "tags", **found) if labelled else None
    )
    if text_column is None or (labelled and tags_column is None):
        return []
    used = [name for name in (text_column, tags_column) if name is not None]
    names = _names(reading, problems) if labelled else []
    read = []
    forms: dict[str, str] = {}
    for row in rows:
        before = len(problems)
        text = read_text(row, text_column, problems)
        entities = (
            []
            if tags_column is None
            else read_entities(
                row, tags_column, text=text or "", names=names, found=forms, problems=problems
            )
        )
        if text is not None and len(problems) == before:
            read.append((row, text, entities))
    notices += [
        f"{file_of(rows[0].source)}: entities are read by {form}, first at {source}"
        for form, source in forms.items()
    ]
    rule = reading.word_splitting
    if tags_column is None:
        return [
            text_example(text, source=row.source, row_id=read_id(row, used), rule=rule)
            for row, text, _ in read
        ]
    found_spans = agreeing_spans(
        [(row.source, text, entities) for row, text, entities in read],
        reading.entity_offsets,
        problems,
    )
    examples = []
    changed: dict[str, list[str]] = {name: [] for name in _TOLD}
    for (row, text, _), spans in zip(read, found_spans, strict=True):
        if spans is None:
            continue
        spans, trimmed, dropped = clean_spans(text, spans)
        # Entities that share an address alone are no problem.
        if faults := span_problems(text, spans, "unicode-v1"):
            problems += [f"{row.source}: {fault}" for fault in faults]
            continue
        spans, in_address, beside = with_whole_addresses(text, spans, rule)
        words, offsets, tags, widened = entities_to_tags(text, spans, rule)
        changed["widened"] += [row.source] * widened
        changed["trimmed"] += [row.source] * trimmed
        changed["dropped"] += [row.source] * dropped
        changed["in_address"] += [row.source] * in_address
        changed["beside"] += [row.source] * beside
        examples.append(
            NerExample(
                words=words,
                tags=tags,
                source=row.source,
                text=text,
                offsets=offsets,
                row_id=read_id(row, used),
            )
        )
    for what, told in _TOLD.items():
        if sources := changed[what]:
            notices.append(
                f"{file_of(rows[0].source)}: {len(sources)} of the entities {told}, "
                f"first at {sources[0]}"
            )
    return examples


def _holds_spans(rows: Sequence[Row], column: str) -> bool:
    """Whether a column holds lists of [start, end, label], doccano's, and nothing else."""
    values = [row.values.get(column) for row in rows]
    lists = [value for value in values if isinstance(value, list | tuple)]
    return (
        len(lists) == len(values)
        and any(lists)
        and all(isinstance(one, list | tuple) and len(one) == 3 for some in lists for one in some)
    )


def word_source(source: str, first_line: int | tuple[int, ...] | None, position: int) -> str:
    """File and line of a word; the row and the word where it has no line of its own."""
    if first_line is None:
        return f"{source} word {position + 1}"
    line = first_line[position] if isinstance(first_line, tuple) else first_line + position
    return f"{file_of(source)}:{line}"
