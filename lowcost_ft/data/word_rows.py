"""Tables with one word a row, or with all words of a sentence in one cell -> sentences."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.column_layout import is_tag_like
from lowcost_ft.data.known_names import SENTENCE_NAME, TAG_NAMES, TEXT_NAMES, WORD_NAMES
from lowcost_ft.data.rows import Row, column_names, counted, file_of, plain_name, same_column, shown

__all__ = ["join_words"]

_LINE = re.compile(r".*:(\d+)", re.DOTALL)


def join_words(
    rows: Sequence[Row],
    reading: ReadingOptions,
    usual: ReadingOptions,
    problems: list[str],
    notices: list[str],
) -> list[Row]:
    """Sentences of a table with one word a row, or one sentence; other tables as they are.

    A sentence ends where the sentence's number changes (it may stand in its first row alone), and
    where a blank line or a row of empty cells follows.

    Args:
        rows: Rows of one file.
        reading: Columns that the user chose; a text column means that rows are texts.
        usual: Columns that training used, taken where the file has them.
        problems: Gets a line if nothing tells where a sentence ends.
        notices: Gets a line that says what was read.

    Returns:
        Rows `{"tokens": [...], "tags": [...]}`, under the names that the user gave the columns.
    """
    if (lists := _with_split_cells(rows, reading, usual, notices)) is not None:
        return lists
    found = _columns(rows, reading, usual)
    if found is None:
        return list(rows)
    word, tag, sentence = found
    file = file_of(rows[0].source)
    sentences = _cut(rows, word, tag, sentence)
    if sentence is None and len(sentences) == 1 and len(rows) > 1:
        problems.append(
            f"{file}: one word a row, {counted(len(rows), 'row')}, and nothing tells where a "
            f"sentence ends; add a column sentence_id, or a blank line after each sentence"
        )
        return []
    told = f"{shown(word)}" + ("" if tag is None else f" and {shown(tag)}")
    by = "blank lines" if sentence is None else f"column {shown(sentence)}"
    notices.append(
        f"{file}: one word a row, read as {counted(len(sentences), 'sentence')} of {told}, cut by "
        f"{by}"
    )
    keys = (reading.tokens_column or "tokens", reading.tags_column or "tags")
    return [_joined(words, word, tag, keys) for words in sentences if words]


def _with_split_cells(
    rows: Sequence[Row], reading: ReadingOptions, usual: ReadingOptions, notices: list[str]
) -> list[Row] | None:
    """Rows whose cells hold all words and all tags of a sentence; None for other tables."""
    names = column_names(rows)
    tag = _first(names, reading.tags_column, usual.tags_column, TAG_NAMES)
    text = reading.tokens_column or reading.text_column
    word = _first(names, text, usual.tokens_column, (*WORD_NAMES, *TEXT_NAMES))
    if tag is None or word is None or word == tag:
        return None
    pairs = [(row.values.get(word), row.values.get(tag)) for row in rows]
    cells = [(w, t) for w, t in pairs if isinstance(w, str) and isinstance(t, str)]
    if len(cells) < len(rows):
        return None
    for separator in (None, ","):
        tags = [[one.strip() for one in tags.split(separator)] for _, tags in cells]
        if any(len(one) > 1 for one in tags) and all(all(map(is_tag_like, one)) for one in tags):
            break
    else:
        return None
    notices.append(
        f"{file_of(rows[0].source)}: one sentence a row, its words in {shown(word)} and their tags "
        f"in {shown(tag)}, cut at {'blanks' if separator is None else 'commas'}"
    )
    keys = (reading.tokens_column or "tokens", reading.tags_column or "tags")
    left = [{n: v for n, v in row.values.items() if n not in (word, tag)} for row in rows]
    return [
        replace(row, values=kept | {keys[0]: words.split(), keys[1]: given})
        for row, kept, (words, _), given in zip(rows, left, cells, tags, strict=True)
    ]


def _columns(
    rows: Sequence[Row], reading: ReadingOptions, usual: ReadingOptions
) -> tuple[str, str | None, str | None] | None:
    """Columns of the words, of the tags and of the sentences' numbers; None for other tables."""
    names = column_names(rows)
    texts = [name for name in TEXT_NAMES if not SENTENCE_NAME.fullmatch(name)]
    texts += [name for name in (reading.text_column, usual.text_column) if name is not None]
    if reading.tokens_column is None and any(same_column(names, name) for name in texts):
        return None
    word = _first(names, reading.tokens_column, usual.tokens_column, WORD_NAMES)
    if word is None or not all(isinstance(row.values.get(word), str | None) for row in rows):
        return None
    tag = _first(names, reading.tags_column, usual.tags_column, TAG_NAMES)
    sentence = next((name for name in names if SENTENCE_NAME.fullmatch(plain_name(name))), None)
    cells = [row.values.get(tag) for row in rows if tag is not None]
    tags = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
    if any(not isinstance(cell, str | None) for cell in cells):
        return None
    if 2 * sum(map(is_tag_like, tags)) > len(tags):
        return word, tag, sentence
    # Types without a prefix, or no tags at all: only a sentence's number tells.
    if sentence is None or (tag is None and sentence in TEXT_NAMES):
        return None
    return (word, tag, sentence) if tag is None or {"O", "o"} & set(tags) else None


def _first(
    names: Sequence[str], given: str | None, usual: str | None, guesses: Sequence[str]
) -> str | None:
    wanted = (given,) if given is not None else (*filter(None, (usual,)), *guesses)
    found = (same_column(names, name) for name in wanted)
    return next((name for name in found if name is not None), None)


def _cut(rows: Sequence[Row], word: str, tag: str | None, sentence: str | None) -> list[list[Row]]:
    sentences: list[list[Row]] = [[]]
    current: Any = None
    line: int | None = None
    for row in rows:
        before, line = line, _line(row)
        gap = before is not None and line is not None and line > before + 1
        number = None if sentence is None else row.values.get(sentence)
        named = number is not None and str(number).strip() != ""
        if _is_blank(row):
            sentences.append([])
            continue
        if (gap and sentence is None) or (named and number != current):
            sentences.append([])
        current = number if named else current
        sentences[-1].append(row)
    return [words for words in sentences if words]


def _is_blank(row: Row) -> bool:
    return all(value is None or not str(value).strip() for value in row.values.values())


def _line(row: Row) -> int | None:
    match = _LINE.fullmatch(row.source)
    return int(match[1]) if match else None


def _joined(words: Sequence[Row], word: str, tag: str | None, keys: tuple[str, str]) -> Row:
    values = {keys[0]: [row.values.get(word) for row in words]}
    if tag is not None:
        values[keys[1]] = [row.values.get(tag) for row in words]
    lines = [line for row in words if (line := _line(row)) is not None]
    return Row(values, words[0].source, tuple(lines) if len(lines) == len(words) else None)
