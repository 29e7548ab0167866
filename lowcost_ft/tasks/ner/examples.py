"""Rows -> NER examples: words, and their tags as the file has them."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.cells import unpacked_rows
from lowcost_ft.data.label_names import names_of
from lowcost_ft.data.rows import (
    Row,
    blank_notice,
    blank_rows,
    column_names,
    counted,
    file_of,
    find_column,
    read_id,
    same_column,
    shown,
    surrogate_fault,
    text_fault,
)
from lowcost_ft.tasks.ner.example import NerExample, text_example, word_source
from lowcost_ft.tasks.ner.tag_spelling import TagSpelling, find_spelling
from lowcost_ft.tasks.ner.text_rows import ENTITIES_COLUMNS, TEXT_COLUMNS, read_text_rows

__all__ = ["NerExample", "fields_beside_words", "read_examples", "rows_with_words"]
__all__ += ["text_example", "with_lists", "word_source"]

_TOKENS = ("tokens", "words")
_TAGS = ("tags", "ner_tags", "ner", "labels")


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
    rows = with_lists(rows, reading)
    names = column_names(rows)
    tokenized = any(name in names for name in _TOKENS) or (
        not any(name in names for name in TEXT_COLUMNS) and _has_column(names, _TOKENS)
    )
    # Tokens that are objects say where the words of a text stand, beside its entities.
    listed = (row.values.get(name) for row in rows for name in _TOKENS)
    if any(isinstance(one, list | tuple) and one and isinstance(one[0], dict) for one in listed):
        tokenized = not any(same_column(names, name) for name in TEXT_COLUMNS)
    if reading.tokens_column is not None or (tokenized and reading.text_column is None):
        return _read_tokens(rows, reading, problems, notices, labelled)
    return read_text_rows(rows, reading, problems=problems, notices=notices, labelled=labelled)


def with_lists(rows: Sequence[Row], reading: ReadingOptions) -> list[Row]:
    """Rows of a table with the words, tags and entities that its cells write down as text."""
    chosen = (reading.tokens_column or "", reading.tags_column or "")
    return unpacked_rows(rows, [*_TOKENS, *_TAGS, *ENTITIES_COLUMNS, *chosen])


def _has_column(names: Sequence[str], guesses: Sequence[str]) -> bool:
    return any(same_column(names, guess) is not None for guess in guesses)


def _read_tokens(
    rows: Sequence[Row],
    reading: ReadingOptions,
    problems: list[str],
    notices: list[str],
    labelled: bool,
) -> list[NerExample]:
    tokens_column, tags_column = _word_columns(
        rows, reading, problems=problems, notices=notices, labelled=labelled
    )
    if tokens_column is None or (labelled and tags_column is None):
        names = column_names(rows)
        text = next((name for name in TEXT_COLUMNS if name in names), None)
        entities = next((name for name in ("entities", "spans") if name in names), None)
        if labelled and text is not None and entities is not None and problems:
            problems[-1] += f"; or read {shown(entities)} of the text: --text-column {text}"
        return []
    if labelled and reading.entity_offsets != ReadingOptions().entity_offsets:
        notices.append(
            f"{file_of(rows[0].source)}: --entity-offsets {reading.entity_offsets} changes "
            f"nothing: words with tags have no offsets"
        )
    used = [name for name in (tokens_column, tags_column) if name is not None]
    spelling = TagSpelling("usual")
    if tags_column is not None:
        before = len(problems)
        names = names_of(reading.label_names, problems)
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
    blank = [False] * len(rows) if labelled else blank_rows(rows, tokens_column)
    notices += blank_notice(rows, blank)
    for row, is_blank in zip(rows, blank, strict=True):
        before = len(problems)
        if is_blank:
            examples.append(text_example("", source=row.source, row_id=read_id(row, used)))
            continue
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


def _word_columns(
    rows: Sequence[Row],
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
    labelled: bool,
) -> tuple[str | None, str | None]:
    """The columns of the words and, where they are wanted, of the tags."""
    found: dict[str, Any] = {"problems": problems, "notices": notices}
    tokens = find_column(rows, reading.tokens_column, _TOKENS, "tokens", **found)
    tags = find_column(rows, reading.tags_column, _TAGS, "tags", **found) if labelled else None
    return tokens, tags


def rows_with_words(rows: Sequence[Row], reading: ReadingOptions) -> list[Row]:
    """Rows of words without those that hold none; all of them where no row holds any."""
    rows = with_lists(rows, reading)
    if not rows:
        return rows
    tokens, _ = _word_columns(rows, reading, problems=[], notices=[], labelled=False)
    blank = [False] * len(rows) if tokens is None else blank_rows(rows, tokens)
    return [row for row, is_blank in zip(rows, blank, strict=True) if not is_blank]


def fields_beside_words(
    rows: Sequence[Row], reading: ReadingOptions, *, labelled: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """What rows of words hold beside these and their tags.

    Args:
        rows: Rows that `read_examples` has read.
        reading: How they were read.
        labelled: Whether tags were read.

    Returns:
        The other fields of each row, and the names of those that are left out, since a reader would
        take them for the words or tags.
    """
    if not rows:
        return [], []
    names = column_names(rows)
    columns = _word_columns(rows, reading, problems=[], notices=[], labelled=labelled)
    usual = {same_column(names, name) for name in (*_TOKENS, *_TAGS)}
    used = {*columns, "id"}
    left_out = [name for name in names if labelled and name in usual - used]
    kept = [name for name in names if name not in usual | used]
    return [{n: row.values[n] for n in kept if n in row.values} for row in rows], left_out


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
